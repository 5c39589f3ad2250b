//! Diagnoses as messages.

use strandline_engine::why::{Diagnosis, Fact, Severity, Suggestion, Value, Waiting};
use strandline_model::Timestamp;
use strandline_proto::management::{self as wire, fact};
use strandline_proto::{status, time};

use crate::hubs::DEFAULT_HUB;
use crate::shell;

/// A diagnosis of an instance of `hub`, with at most so many open tasks.
pub(super) fn to_wire(diagnosis: &Diagnosis, hub: &str, waits_max: usize) -> wire::Diagnosis {
    let waits = diagnosis.waiting_on.iter().take(waits_max);
    wire::Diagnosis {
        instance_id: diagnosis.id.to_string(),
        name: diagnosis.name.clone(),
        state: status::to_wire(diagnosis.state) as i32,
        verdict: diagnosis.verdict.code().to_owned(),
        severity: severity(diagnosis.severity) as i32,
        summary: diagnosis.summary(),
        since: diagnosis.since.map(time::to_wire),
        waiting_on: waits.map(|wait| waiting(wait, diagnosis.now)).collect(),
        waiting_on_total: u32::try_from(diagnosis.waiting_on_total).unwrap_or(u32::MAX),
        path: diagnosis.path.iter().map(ToString::to_string).collect(),
        evidence: diagnosis.facts().into_iter().map(fact).collect(),
        suggestions: diagnosis.suggestions().into_iter().map(|s| suggestion(s, hub)).collect(),
    }
}

fn severity(severity: Severity) -> wire::Severity {
    match severity {
        Severity::Ok => wire::Severity::Ok,
        Severity::Info => wire::Severity::Info,
        Severity::Warning => wire::Severity::Warning,
        Severity::Error => wire::Severity::Error,
    }
}

/// `None`: unspecified, or one that is not known here.
pub(crate) fn severity_from_wire(number: i32) -> Option<Severity> {
    Some(match wire::Severity::try_from(number).ok()? {
        wire::Severity::Unspecified => return None,
        wire::Severity::Ok => Severity::Ok,
        wire::Severity::Info => Severity::Info,
        wire::Severity::Warning => Severity::Warning,
        wire::Severity::Error => Severity::Error,
    })
}

fn waiting(wait: &Waiting, now: Timestamp) -> wire::Waiting {
    wire::Waiting {
        kind: wait.kind.name().to_owned(),
        name: wait.name.clone(),
        version: wait.version.clone(),
        id: wait.id.as_ref().map(ToString::to_string),
        task_id: wait.task_id,
        since: wait.since.map(time::to_wire),
        until: wait.until.map(time::to_wire),
        verdict: wait.verdict.code().to_owned(),
        severity: severity(wait.severity) as i32,
        summary: wait.summary(now),
    }
}

fn fact(fact: Fact) -> wire::Fact {
    let value = match fact.value {
        Value::Text(text) => fact::Value::Text(text),
        Value::Time(at) => fact::Value::Time(time::to_wire(at)),
        Value::Count(count) => fact::Value::Count(count),
        Value::Number(number) => fact::Value::Number(number),
        Value::Texts(texts) => fact::Value::Texts(wire::Texts { texts }),
    };
    wire::Fact { name: fact.name.to_owned(), value: Some(value) }
}

fn suggestion(suggestion: Suggestion, hub: &str) -> wire::Suggestion {
    let cli = (!suggestion.cli.is_empty()).then(|| command(&suggestion.cli, hub));
    wire::Suggestion { text: suggestion.text, cli }
}

/// Words as a command line for a shell, in this hub unless they name one.
fn command(words: &[String], hub: &str) -> String {
    let mut flags = Vec::new();
    if hub != DEFAULT_HUB && !words.iter().any(|word| word == "--hub") {
        flags = vec!["--hub".to_owned(), shell::word(hub)];
    }
    // A word of a user that looks like a flag must not be one.
    let is_ours = |word: &str| matches!(word, "--hub" | "--failed");
    let hides = words.iter().any(|word| word.starts_with('-') && !is_ours(word));
    let (verb, rest) = words.split_first().map_or(("", &[][..]), |(verb, rest)| (verb.as_str(), rest));
    let (ours, theirs): (Vec<_>, Vec<_>) = rest.iter().partition(|word| hides && is_ours(word));
    let mut line = vec!["strandline".to_owned(), verb.to_owned()];
    if hides {
        line.extend(ours.into_iter().cloned());
        line.append(&mut flags);
        line.push("--".to_owned());
    }
    line.extend(theirs.into_iter().map(|word| shell::word(word)));
    line.append(&mut flags);
    line.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &[&str], hub: &str) -> String {
        command(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), hub)
    }

    #[test]
    fn commands_can_be_pasted() {
        assert_eq!(line(&["why", "order-1"], "default"), "strandline why order-1");
        assert_eq!(
            line(&["history", "a", "--failed"], "billing"),
            "strandline history a --failed --hub billing"
        );
        assert_eq!(
            line(&["worker", "list", "--hub", "other"], "billing"),
            "strandline worker list --hub other"
        );
        assert_eq!(
            line(&["resume", "it's; rm -rf $HOME"], "default"),
            r"strandline resume 'it'\''s; rm -rf $HOME'"
        );
        assert_eq!(line(&["history", "-x", "--failed"], "b"), "strandline history --failed --hub b -- -x");
    }
}
