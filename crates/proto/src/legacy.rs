//! How .NET workers without entity messages of their own talk to entities: by events to `@name@key`, named
//! `op`, `op@<time>` or `release`, whose data is JSON.

use serde::Deserialize;
use serde_json::Value as Json;
use strandline_model::{ActionKind, EntityId, Timestamp};

use crate::action::lock_set_from_wire;
use crate::{InvalidMessage, ids, required};

/// An operation or, with a lock set, a request for a critical section.
#[derive(Deserialize)]
struct Request {
    op: Option<String>,
    #[serde(default)]
    signal: bool,
    input: Option<Json>,
    id: String,
    due: Option<Timestamp>,
    lockset: Option<Vec<Locked>>,
}

#[derive(Deserialize)]
struct Release {
    id: String,
}

/// An entity of a lock set.
#[derive(Deserialize)]
#[serde(untagged)]
enum Locked {
    Id(String),
    Parts { name: String, key: String },
}

pub(crate) fn from_wire(target: &str, name: &str, data: Option<&str>) -> Result<ActionKind, InvalidMessage> {
    let target = ids::entity_from_wire(target, "sendEvent.instance.instanceId")?.to_string();
    let data = required(data, "sendEvent.data")?;
    if name == "release" {
        let release: Release = read(data)?;
        return Ok(ActionKind::UnlockEntity { section_id: release.id, target });
    }
    let scheduled = match name.strip_prefix("op") {
        Some("") => None,
        Some(time) if time.starts_with('@') => Some(&time[1..]),
        _ => return Err(InvalidMessage::invalid("sendEvent.name", name, "'op', 'op@<time>' or 'release'")),
    };
    let request: Request = read(data)?;
    if let Some(entities) = request.lockset {
        let entities = entities.into_iter().map(Locked::into_id).collect::<Result<Vec<_>, _>>()?;
        let lock_set = lock_set_from_wire(entities.iter().map(String::as_str))?;
        return Ok(ActionKind::LockEntities { section_id: request.id, lock_set });
    }
    let scheduled_time = match (request.due, scheduled) {
        (Some(due), _) => Some(due),
        (None, Some(time)) => {
            let time = time.parse();
            Some(time.map_err(|_| InvalidMessage::invalid("sendEvent.name", name, "'op@<ISO 8601 time>'"))?)
        }
        (None, None) => None,
    };
    let request_id = request.id;
    let operation = required(request.op, "sendEvent.data.op")?;
    let input = request.input.map(|input| match input {
        Json::String(text) => text,
        other => other.to_string(),
    });
    Ok(if request.signal {
        ActionKind::SignalEntity { target, request_id, operation, input, scheduled_time }
    } else {
        ActionKind::CallEntity { target, request_id, operation, input, scheduled_time }
    })
}

fn read<'a, T: Deserialize<'a>>(data: &'a str) -> Result<T, InvalidMessage> {
    let expected = "an entity message as JSON";
    serde_json::from_str(data).map_err(|_| InvalidMessage::invalid("sendEvent.data", data, expected))
}

impl Locked {
    fn into_id(self) -> Result<String, InvalidMessage> {
        match self {
            Self::Id(id) => Ok(id),
            Self::Parts { name, key } => EntityId::new(&name, &key)
                .map(|id| id.to_string())
                .map_err(|problem| InvalidMessage::EntityId { field: "sendEvent.data.lockset", problem }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "6c1f6ba2-5c1c-4f8c-8a53-9fb1c0a7cf11";

    fn request(fields: &str) -> String {
        format!("{{\"id\":\"{ID}\",\"parent\":\"i\",\"parentExecution\":\"e\"{fields}}}")
    }

    #[test]
    fn operations() {
        let data = request(",\"op\":\"add\",\"input\":\"5\"");
        let call = ActionKind::CallEntity {
            target: "@counter@A".to_owned(),
            request_id: ID.to_owned(),
            operation: "add".to_owned(),
            input: Some("5".to_owned()),
            scheduled_time: None,
        };
        assert_eq!(from_wire("@Counter@A", "op", Some(&data)), Ok(call));

        let due = "2026-01-31T12:00:00.0000000Z";
        let signal = ActionKind::SignalEntity {
            target: "@counter@A".to_owned(),
            request_id: ID.to_owned(),
            operation: "reset".to_owned(),
            input: None,
            scheduled_time: Some(due.parse().unwrap()),
        };
        let data = request(",\"op\":\"reset\",\"signal\":true,\"input\":null");
        assert_eq!(from_wire("@counter@A", &format!("op@{due}"), Some(&data)), Ok(signal.clone()));
        let data = request(&format!(",\"op\":\"reset\",\"signal\":true,\"due\":\"{due}\""));
        assert_eq!(from_wire("@counter@A", &format!("op@{due}"), Some(&data)), Ok(signal));
    }

    #[test]
    fn locks() {
        let data =
            request(",\"op\":null,\"lockset\":[{\"name\":\"B\",\"key\":\"1\"},\"@a@2\",\"@a@2\"],\"pos\":0");
        let lock = ActionKind::LockEntities {
            section_id: ID.to_owned(),
            lock_set: vec!["@a@2".to_owned(), "@b@1".to_owned()],
        };
        assert_eq!(from_wire("@a@2", "op", Some(&data)), Ok(lock));
        let unlock = ActionKind::UnlockEntity { section_id: ID.to_owned(), target: "@a@2".to_owned() };
        assert_eq!(from_wire("@a@2", "release", Some(&request(""))), Ok(unlock));
    }

    #[test]
    fn what_is_none_of_these_is_refused() {
        let data = request(",\"op\":\"add\"");
        for (target, name, data, field) in [
            ("@a", "op", Some(data.as_str()), "sendEvent.instance.instanceId"),
            ("@a@1", "op", None, "sendEvent.data is missing"),
            ("@a@1", "op", Some("5"), "sendEvent.data"),
            ("@a@1", "op", Some(&request("")), "sendEvent.data.op is missing"),
            ("@a@1", "open", Some(&data), "sendEvent.name"),
            ("@a@1", "op@tomorrow", Some(&data), "sendEvent.name"),
            ("@a@1", "continue", Some(&data), "sendEvent.name"),
        ] {
            let error = from_wire(target, name, data).unwrap_err().to_string();
            assert!(error.starts_with(field), "{error}");
        }
    }
}
