//! Which request means which operation.

use std::borrow::Cow;
use std::pin::Pin;

use axum::body::Body;
use axum::response::Response;
use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;

use super::answer::{self, Problem};
use super::{Call, control, entities, instances, purge, start};
use crate::keys::Permission;

/// Where Functions apps have the API.
const WEBHOOK: [&str; 3] = ["runtime", "webhooks", "durabletask"];
/// Where Functions hosts offer it to the code they run, on the same machine.
const LOCAL: [&str; 1] = ["durabletask"];
/// Where the quickstarts' own functions start orchestrations.
const QUICKSTART: [&str; 1] = ["api"];
/// All that is there.
const STARTS: &str = "orchestrators";

/// An operation under way.
pub(super) type Answering = Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send>>;

/// A line of the table.
pub(super) struct Route {
    /// `None`: any.
    pub(super) method: Option<Method>,
    /// Behind the prefix. A name in braces stands for one segment that is not empty.
    pub(super) path: &'static str,
    pub(super) permission: Permission,
    /// As logs and refusals call it.
    pub(super) operation: &'static str,
    pub(super) carry_out: fn(Call, Body) -> Answering,
}

/// What there is; whatever else is asked for answers 404.
pub(super) static ROUTES: [Route; 18] = [
    Route {
        method: Some(Method::POST),
        path: "orchestrators/{function}",
        permission: Permission::Start,
        operation: "StartOrchestration",
        carry_out: |call, body| Box::pin(start::start(call, body)),
    },
    Route {
        method: Some(Method::POST),
        path: "orchestrators/{function}/{instance}",
        permission: Permission::Start,
        operation: "StartOrchestration",
        carry_out: |call, body| Box::pin(start::start(call, body)),
    },
    Route {
        method: Some(Method::GET),
        path: "instances",
        permission: Permission::Read,
        operation: "QueryInstances",
        carry_out: |call, _| Box::pin(instances::list(call)),
    },
    Route {
        method: Some(Method::DELETE),
        path: "instances",
        permission: Permission::Purge,
        operation: "PurgeInstances",
        carry_out: |call, _| Box::pin(purge::many(call)),
    },
    Route {
        method: Some(Method::GET),
        path: "instances/{instance}",
        permission: Permission::Read,
        operation: "GetInstance",
        carry_out: |call, _| Box::pin(instances::get(call)),
    },
    Route {
        method: Some(Method::DELETE),
        path: "instances/{instance}",
        permission: Permission::Purge,
        operation: "PurgeInstances",
        carry_out: |call, _| Box::pin(purge::one(call)),
    },
    Route {
        method: Some(Method::POST),
        path: "instances/{instance}/raiseEvent/{event}",
        permission: Permission::RaiseEvent,
        operation: "RaiseEvent",
        carry_out: |call, body| Box::pin(control::raise_event(call, body)),
    },
    Route {
        method: Some(Method::POST),
        path: "instances/{instance}/terminate",
        permission: Permission::Terminate,
        operation: "Terminate",
        carry_out: |call, _| Box::pin(control::terminate(call)),
    },
    Route {
        method: Some(Method::POST),
        path: "instances/{instance}/suspend",
        permission: Permission::Suspend,
        operation: "Suspend",
        carry_out: |call, _| Box::pin(control::suspend(call)),
    },
    Route {
        method: Some(Method::POST),
        path: "instances/{instance}/resume",
        permission: Permission::Resume,
        operation: "Resume",
        carry_out: |call, _| Box::pin(control::resume(call)),
    },
    Route {
        method: Some(Method::POST),
        path: "instances/{instance}/rewind",
        permission: Permission::Rewind,
        operation: "Rewind",
        carry_out: |call, _| Box::pin(control::rewind(call)),
    },
    Route {
        method: Some(Method::POST),
        path: "instances/{instance}/restart",
        permission: Permission::Restart,
        operation: "Restart",
        carry_out: |call, _| Box::pin(start::restart(call)),
    },
    Route {
        method: Some(Method::POST),
        path: "entities/{function}/{key}",
        permission: Permission::Signal,
        operation: "SignalEntity",
        carry_out: |call, body| Box::pin(entities::signal(call, body)),
    },
    Route {
        method: Some(Method::DELETE),
        path: "entities/{function}/{key}",
        permission: Permission::Signal,
        operation: "SignalEntity",
        carry_out: |call, body| Box::pin(entities::delete(call, body)),
    },
    Route {
        method: Some(Method::GET),
        path: "entities/{entity}/{key}",
        permission: Permission::Read,
        operation: "GetEntity",
        carry_out: |call, _| Box::pin(entities::get(call)),
    },
    Route {
        method: Some(Method::GET),
        path: "entities/{entity}",
        permission: Permission::Read,
        operation: "QueryEntities",
        carry_out: |call, _| Box::pin(entities::list(call)),
    },
    Route {
        method: Some(Method::GET),
        path: "entities",
        permission: Permission::Read,
        operation: "QueryEntities",
        carry_out: |call, _| Box::pin(entities::list(call)),
    },
    Route {
        method: None,
        path: "makeprimary",
        permission: Permission::Operate,
        operation: "MakePrimary",
        // There is one server, which is always the one that works.
        carry_out: |_, _| Box::pin(async { Ok(answer::empty(StatusCode::OK)) }),
    },
];

/// The variable segments of a path, by the names in the table.
#[derive(Debug, Default)]
pub(super) struct Segments(Vec<(&'static str, String)>);

impl Segments {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| *other == name).map(|(_, text)| text.as_str())
    }
}

/// What a request means.
pub(super) struct Match {
    pub(super) route: &'static Route,
    pub(super) segments: Segments,
}

/// Finds what a request means by its raw path. `local`: it comes from the same machine.
pub(super) fn find(method: &Method, path: &str, local: bool) -> Option<Match> {
    let path = path.strip_prefix('/')?.trim_end_matches('/');
    // Each segment is decoded once, after they were told apart. What is no text names nothing.
    let segments = path.split('/').map(|segment| percent_decode_str(segment).decode_utf8());
    let segments: Vec<Cow<'_, str>> = segments.collect::<Result<_, _>>().ok()?;
    let rest = if let Some(rest) = behind(&segments, &WEBHOOK) {
        rest
    } else if let Some(rest) = behind(&segments, &LOCAL) {
        local.then_some(rest)?
    } else {
        behind(&segments, &QUICKSTART).filter(|rest| behind(rest, &[STARTS]).is_some())?
    };
    ROUTES.iter().find_map(|route| {
        if route.method.as_ref().is_some_and(|of| of != method) {
            return None;
        }
        Some(Match { route, segments: fit(route.path, rest)? })
    })
}

fn behind<'a, 'b>(segments: &'a [Cow<'b, str>], prefix: &[&str]) -> Option<&'a [Cow<'b, str>]> {
    let (first, rest) = segments.split_at_checked(prefix.len())?;
    first.iter().zip(prefix).all(|(is, should)| is.eq_ignore_ascii_case(should)).then_some(rest)
}

fn fit(pattern: &'static str, segments: &[Cow<'_, str>]) -> Option<Segments> {
    let pattern: Vec<&'static str> = pattern.split('/').collect();
    if pattern.len() != segments.len() {
        return None;
    }
    let mut named = Segments::default();
    for (pattern, segment) in pattern.into_iter().zip(segments) {
        match pattern.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) if !segment.is_empty() => named.0.push((name, segment.clone().into_owned())),
            None if pattern.eq_ignore_ascii_case(segment) => {}
            _ => return None,
        }
    }
    Some(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(method: &str, path: &str, local: bool) -> Option<(&'static str, Vec<String>)> {
        let found = find(&method.parse().unwrap(), path, local)?;
        Some((found.route.operation, found.segments.0.into_iter().map(|(_, text)| text).collect()))
    }

    #[test]
    fn paths_are_taken_apart_before_they_are_decoded() {
        let base = "/runtime/webhooks/durabletask";
        let get = |path: &str| found("GET", &format!("{base}{path}"), false);
        let one = |id: &str| Some(("GetInstance", vec![id.to_owned()]));
        assert_eq!(get("/instances/a"), one("a"));
        assert_eq!(get("/Instances/A//"), one("A"));
        assert_eq!(get("/instances/a%2Fb"), one("a/b"));
        assert_eq!(get("/instances/a%252Fb"), one("a%2Fb"));
        assert_eq!(get("/instances/a+b%20c"), one("a+b c"));
        assert_eq!(get("/instances/%zz"), one("%zz"));
        assert_eq!(get("/instances/.."), one(".."));
        assert_eq!(get("/instances/%C3%BC"), one("ü"));
        assert_eq!(get("/instances/%FF"), None);
        assert_eq!(get("//instances/a"), None);
        assert_eq!(get("%2Finstances"), None);
        assert_eq!(get("/instances"), Some(("QueryInstances", vec![])));
    }

    #[test]
    fn there_are_three_ways_in() {
        let start = Some(("StartOrchestration", vec!["f".to_owned()]));
        assert_eq!(found("POST", "/RUNTIME/Webhooks/DurableTask/orchestrators/f", false), start);
        assert_eq!(found("POST", "/api/orchestrators/f", false), start);
        assert_eq!(found("POST", "/durabletask/orchestrators/f", true), start);
        assert_eq!(found("POST", "/durabletask/orchestrators/f", false), None);
        assert_eq!(found("GET", "/api/instances/a", true), None);
        assert_eq!(found("POST", "/orchestrators/f", true), None);
        for path in ["", "/", "/api", "/runtime", "/durabletask", "/runtime/webhooks/durabletask"] {
            assert_eq!(found("GET", path, true), None, "{path}");
        }
    }
}
