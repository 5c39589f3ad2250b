//! History events as JSON objects, and back. One table says which fields there are.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use strandline_model::*;

/// Why a text is not an event.
pub(super) type Problem = String;

/// A value in a history file. Times are written as the time since its beginning.
trait Field: Sized {
    /// Its JSON; `None` leaves it out.
    fn write(&self, begun: Timestamp) -> Option<String>;

    /// From its JSON; `None` where it was left out.
    fn read(json: Option<&str>, begun: Timestamp) -> Result<Self, Problem>;
}

fn parse<'a, T: serde::Deserialize<'a>>(json: Option<&'a str>) -> Result<T, Problem> {
    serde_json::from_str(json.ok_or("is missing")?).map_err(|error| error.to_string())
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Field for String {
    fn write(&self, _: Timestamp) -> Option<String> {
        Some(quoted(self))
    }

    fn read(json: Option<&str>, _: Timestamp) -> Result<Self, Problem> {
        parse(json)
    }
}

macro_rules! numbers {
    ($($type:ty)*) => {$(
        impl Field for $type {
            fn write(&self, _: Timestamp) -> Option<String> {
                Some(self.to_string())
            }

            fn read(json: Option<&str>, _: Timestamp) -> Result<Self, Problem> {
                parse(json)
            }
        }
    )*};
}

numbers!(i32 u32 u64);

impl Field for bool {
    fn write(&self, _: Timestamp) -> Option<String> {
        self.then(|| "true".to_owned())
    }

    fn read(json: Option<&str>, _: Timestamp) -> Result<Self, Problem> {
        json.map_or(Ok(false), |json| parse(Some(json)))
    }
}

impl Field for Timestamp {
    fn write(&self, begun: Timestamp) -> Option<String> {
        Some(quoted(&since(begun, *self)))
    }

    fn read(json: Option<&str>, begun: Timestamp) -> Result<Self, Problem> {
        let text: String = parse(json)?;
        after(begun, &text).ok_or_else(|| format!("'{text}' is not a time like +72:00:00"))
    }
}

impl<T: Field> Field for Option<T> {
    fn write(&self, begun: Timestamp) -> Option<String> {
        self.as_ref()?.write(begun)
    }

    fn read(json: Option<&str>, begun: Timestamp) -> Result<Self, Problem> {
        json.map(|json| T::read(Some(json), begun)).transpose()
    }
}

impl<T: Field> Field for Box<T> {
    fn write(&self, begun: Timestamp) -> Option<String> {
        (**self).write(begun)
    }

    fn read(json: Option<&str>, begun: Timestamp) -> Result<Self, Problem> {
        T::read(json, begun).map(Box::new)
    }
}

impl Field for Vec<String> {
    fn write(&self, _: Timestamp) -> Option<String> {
        Some(serde_json::Value::from(self.as_slice()).to_string())
    }

    fn read(json: Option<&str>, _: Timestamp) -> Result<Self, Problem> {
        parse(json)
    }
}

impl Field for BTreeMap<String, String> {
    fn write(&self, _: Timestamp) -> Option<String> {
        (!self.is_empty()).then(|| serde_json::json!(self).to_string())
    }

    fn read(json: Option<&str>, _: Timestamp) -> Result<Self, Problem> {
        json.map_or(Ok(Self::new()), |json| parse(Some(json)))
    }
}

/// The 16 bytes of an execution id.
impl Field for Vec<u8> {
    fn write(&self, _: Timestamp) -> Option<String> {
        let id = ExecutionId(self.as_slice().try_into().map_or(0, u128::from_be_bytes));
        Some(quoted(&id.to_string()))
    }

    fn read(json: Option<&str>, _: Timestamp) -> Result<Self, Problem> {
        let text: String = parse(json)?;
        let id = ExecutionId::parse(&text).ok_or("is not an execution id of 32 hex digits")?;
        Ok(id.0.to_be_bytes().to_vec())
    }
}

/// The fields of one object on their way in or out.
struct Object<'a> {
    read: BTreeMap<String, &'a RawValue>,
    written: Vec<String>,
    begun: Timestamp,
}

impl<'a> Object<'a> {
    fn new(begun: Timestamp) -> Self {
        Self { read: BTreeMap::new(), written: Vec::new(), begun }
    }

    fn open(json: Option<&'a str>, begun: Timestamp) -> Result<Self, Problem> {
        Ok(Self { read: json.map_or(Ok(BTreeMap::new()), |json| parse(Some(json)))?, ..Self::new(begun) })
    }

    /// What an older version does not know may not be left out silently.
    fn close(self) -> Result<(), Problem> {
        match self.read.first_key_value() {
            Some((name, _)) => Err(format!("'{name}' is unknown: a newer version of Strandline wrote it")),
            None => Ok(()),
        }
    }

    fn finish(self) -> Option<String> {
        (!self.written.is_empty()).then(|| format!("{{{}}}", self.written.join(", ")))
    }

    fn put<T: Field>(&mut self, name: &str, value: &T) {
        if let Some(json) = value.write(self.begun) {
            self.written.push(format!("\"{name}\": {json}"));
        }
    }

    fn take<T: Field>(&mut self, name: &str) -> Result<T, Problem> {
        let json = self.read.remove(name).map(RawValue::get);
        T::read(json, self.begun).map_err(|problem| format!("'{name}' {problem}"))
    }

    /// A payload stands there as it is when it is JSON on one line, and as a quoted text otherwise.
    fn put_payload(&mut self, name: &str, value: &Option<String>) {
        let Some(text) = value else { return };
        let plain = !text.contains(['\n', '\r']) && text.trim() == text;
        if plain && serde_json::from_str::<&RawValue>(text).is_ok() {
            self.written.push(format!("\"{name}\": {text}"));
        } else {
            self.put(&format!("{name}_text"), text);
        }
    }

    fn take_payload(&mut self, name: &str) -> Result<Option<String>, Problem> {
        match self.read.remove(name) {
            Some(json) => Ok(Some(json.get().to_owned())),
            None => self.take(&format!("{name}_text")),
        }
    }

    fn put_status(&mut self, name: &str, value: &i32) {
        let status =
            RuntimeStatus::try_from(*value).map_or_else(|_| value.to_string(), |s| s.name().to_owned());
        self.put(name, &status);
    }

    fn take_status(&mut self, name: &str) -> Result<i32, Problem> {
        let text: String = self.take(name)?;
        let named =
            (0..=i32::from(u8::MAX)).find(|n| RuntimeStatus::try_from(*n).is_ok_and(|s| s.name() == text));
        named.or_else(|| text.parse().ok()).ok_or_else(|| format!("'{name}' is no status: {text}"))
    }
}

macro_rules! objects {
    (@put $object:ident $value:expr, $name:expr) => { $object.put($name, $value) };
    (@put $object:ident $value:expr, $name:expr, payload) => { $object.put_payload($name, $value) };
    (@put $object:ident $value:expr, $name:expr, status) => { $object.put_status($name, $value) };
    (@take $object:ident $name:expr) => { $object.take($name)? };
    (@take $object:ident $name:expr, payload) => { $object.take_payload($name)? };
    (@take $object:ident $name:expr, status) => { $object.take_status($name)? };
    ($($type:ident { $($field:ident $(as $how:ident)?),* })*) => {$(
        impl Field for $type {
            #[allow(unused_mut, reason = "some events have no fields")]
            fn write(&self, begun: Timestamp) -> Option<String> {
                let mut object = Object::new(begun);
                $(objects!(@put object &self.$field, stringify!($field) $(, $how)?);)*
                object.finish()
            }

            #[allow(unused_mut, reason = "some events have no fields")]
            fn read(json: Option<&str>, begun: Timestamp) -> Result<Self, Problem> {
                let mut object = Object::open(json, begun)?;
                let value = Self { $($field: objects!(@take object stringify!($field) $(, $how)?)),* };
                object.close()?;
                Ok(value)
            }
        }
    )*};
}

objects! {
    Empty {}
    ExecutionStarted {
        name, version, instance_id, execution_id, input as payload, parent, scheduled_start, tags, seed,
        trace_parent, trace_state
    }
    ParentInstance { instance_id, execution_id, name, version, task_id, depth, fire_and_forget }
    ExecutionCompleted { status as status, result as payload, failure, origin }
    ExecutionTerminated { input as payload, recurse }
    TaskScheduled { name, version, input as payload, tags, timeout_nanos, trace }
    TraceContext { parent, state }
    TaskCompleted { task_id, result as payload }
    TaskFailed { task_id, failure }
    SubOrchestrationCreated { name, version, instance_id, input as payload, tags, fire_and_forget, trace }
    SubOrchestrationCompleted { task_id, result as payload }
    SubOrchestrationFailed { task_id, failure }
    TimerCreated { fire_at }
    TimerFired { timer_id, fire_at }
    EventSent { instance_id, name, input as payload }
    EventRaised { name, input as payload, undelivered }
    Generic { data as payload }
    ContinueAsNew { input as payload }
    ExecutionSuspended { input as payload }
    ExecutionResumed { input as payload }
    EntityOperationSignaled { target, operation, input as payload, request_id, scheduled_time }
    EntityOperationCalled { target, operation, input as payload, request_id, scheduled_time }
    EntityOperationCompleted { task_id, output as payload, request_id }
    EntityOperationFailed { task_id, failure, request_id }
    EntityLockRequested { lock_set, section_id }
    EntityLockGranted { task_id, section_id }
    EntityUnlockSent { target, section_id }
    ExecutionRewound { reason }
    FailureDetails { error_type, message, is_non_retriable, properties, stack_trace, inner_failure }
}

macro_rules! kinds {
    ($($kind:ident)*) => {
        /// The fields of an event, if it has any.
        pub(super) fn write(kind: &EventKind, begun: Timestamp) -> Option<String> {
            match kind { $(EventKind::$kind(event) => event.write(begun),)* }
        }

        /// The event with this name and these fields.
        pub(super) fn read(name: &str, json: Option<&str>, begun: Timestamp) -> Result<EventKind, Problem> {
            $(
                let mut kind = EventKind::$kind(Default::default());
                if kind.name() == name {
                    if let EventKind::$kind(event) = &mut kind {
                        *event = Field::read(json, begun)?;
                    }
                    return Ok(kind);
                }
            )*
            Err(format!("'{name}' is no history event: a newer version of Strandline may have written it"))
        }
    };
}

kinds! {
    ExecutionStarted ExecutionCompleted ExecutionTerminated TaskScheduled TaskCompleted TaskFailed
    SubOrchestrationCreated SubOrchestrationCompleted SubOrchestrationFailed TimerCreated TimerFired
    OrchestratorStarted OrchestratorCompleted EventSent EventRaised Generic ContinueAsNew
    ExecutionSuspended ExecutionResumed EntityOperationSignaled EntityOperationCalled
    EntityOperationCompleted EntityOperationFailed EntityLockRequested EntityLockGranted EntityUnlockSent
    ExecutionRewound
}

/// Hours, minutes, seconds and a fraction, as in `+72:00:00.5`.
pub(super) fn since(begun: Timestamp, time: Timestamp) -> String {
    let nanos = time.as_nanos() - begun.as_nanos();
    let sign = if nanos < 0 { '-' } else { '+' };
    let nanos = nanos.unsigned_abs();
    let (seconds, fraction) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let mut text = format!("{sign}{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction > 0 {
        text.push_str(format!(".{fraction:09}").trim_end_matches('0'));
    }
    text
}

pub(super) fn after(begun: Timestamp, text: &str) -> Option<Timestamp> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let mut parts = rest.split(':');
    let mut number = || parts.next()?.parse::<u64>().ok().map(i128::from);
    let (hours, minutes) = (number()?, number()?);
    let seconds = parts.next().filter(|_| parts.next().is_none())?;
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let seconds = i128::from(seconds.parse::<u64>().ok()?);
    let fraction = (fraction.len() <= 9).then(|| format!("{fraction:0<9}").parse::<u64>().ok())?;
    let nanos = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000_000 + i128::from(fraction?);
    Some(Timestamp::from_nanos(begun.as_nanos() + sign * nanos))
}
