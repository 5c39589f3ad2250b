//! Diagnoses as JSON.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde::{Deserialize, Serialize as DeriveSerialize};
use strandline_model::Timestamp;
use strandline_proto::management::{self as wire, fact};
use strandline_proto::{status, time};
use utoipa::ToSchema;

/// What an instance waits for, why, and what to do about it.
#[derive(Debug, DeriveSerialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Diagnosis {
    pub(crate) instance_id: String,
    /// The orchestrator's name.
    pub(crate) name: String,
    /// The runtime status.
    #[schema(example = "Running")]
    pub(crate) state: &'static str,
    /// What decides. There may be more words in later versions.
    #[schema(example = "unknownName")]
    pub(crate) verdict: String,
    pub(crate) severity: Severity,
    /// The verdict as a sentence.
    pub(crate) summary: String,
    /// Since when; absent: it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) since: Option<Timestamp>,
    /// Its open tasks, the most important first; not all of them if there are many.
    pub(crate) waiting_on: Vec<Waiting>,
    /// How many there are.
    pub(crate) waiting_on_total: u32,
    /// The instances and entities from this one to the one that decides: sub-orchestrations, holders of locks.
    pub(crate) path: Vec<String>,
    /// What the verdict rests on, by name: texts, numbers, times, lists of texts.
    #[schema(value_type = Object)]
    pub(crate) evidence: Evidence,
    /// What to do, the most promising first.
    pub(crate) suggestions: Vec<Suggestion>,
}

/// How much somebody should care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DeriveSerialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Severity {
    /// It goes on, or is over and well.
    Ok,
    /// It waits as it was written to.
    Info,
    /// It may be that nobody means it to wait.
    Warning,
    /// It does not go on unless somebody does something.
    Error,
}

/// One thing that an instance waits for.
#[derive(Debug, DeriveSerialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Waiting {
    /// turn, activity, timer, subOrchestration, entityCall, entityLock or externalEvent.
    pub(crate) kind: String,
    /// Of the orchestrator, activity, operation or event.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    /// The sub-orchestration or entity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// The sequence id of the open task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) task_id: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) since: Option<Timestamp>,
    /// When a timer fires.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) until: Option<Timestamp>,
    pub(crate) verdict: String,
    pub(crate) severity: Severity,
    pub(crate) summary: String,
}

/// Something to do.
#[derive(Debug, DeriveSerialize, ToSchema)]
pub(crate) struct Suggestion {
    pub(crate) text: String,
    /// A command line for a shell; absent: there is none for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cli: Option<String>,
}

/// Facts by name, in their order.
#[derive(Debug)]
pub(crate) struct Evidence(pub(crate) Vec<(String, Value)>);

#[derive(Debug, DeriveSerialize)]
#[serde(untagged)]
pub(crate) enum Value {
    Text(String),
    Time(Timestamp),
    Count(u64),
    Number(f64),
    Texts(Vec<String>),
}

impl Serialize for Evidence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl From<wire::Severity> for Severity {
    fn from(severity: wire::Severity) -> Self {
        match severity {
            wire::Severity::Unspecified | wire::Severity::Ok => Self::Ok,
            wire::Severity::Info => Self::Info,
            wire::Severity::Warning => Self::Warning,
            wire::Severity::Error => Self::Error,
        }
    }
}

impl From<Severity> for wire::Severity {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Ok => Self::Ok,
            Severity::Info => Self::Info,
            Severity::Warning => Self::Warning,
            Severity::Error => Self::Error,
        }
    }
}

impl From<Severity> for strandline_engine::why::Severity {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Ok => Self::Ok,
            Severity::Info => Self::Info,
            Severity::Warning => Self::Warning,
            Severity::Error => Self::Error,
        }
    }
}

impl From<wire::Diagnosis> for Diagnosis {
    fn from(diagnosis: wire::Diagnosis) -> Self {
        let severity = diagnosis.severity().into();
        let evidence = diagnosis.evidence.into_iter();
        Self {
            // A status that is not known here is a later version's.
            state: status::from_wire(diagnosis.state, "state").map_or("Unknown", |state| state.name()),
            instance_id: diagnosis.instance_id,
            name: diagnosis.name,
            verdict: diagnosis.verdict,
            severity,
            summary: diagnosis.summary,
            since: diagnosis.since.map(time::from_wire),
            waiting_on: diagnosis.waiting_on.into_iter().map(Waiting::from).collect(),
            waiting_on_total: diagnosis.waiting_on_total,
            path: diagnosis.path,
            evidence: Evidence(
                evidence.filter_map(|fact| Some((fact.name, Value::from(fact.value?)))).collect(),
            ),
            suggestions: diagnosis
                .suggestions
                .into_iter()
                .map(|suggestion| Suggestion { text: suggestion.text, cli: suggestion.cli })
                .collect(),
        }
    }
}

impl From<wire::Waiting> for Waiting {
    fn from(waiting: wire::Waiting) -> Self {
        let severity = waiting.severity().into();
        Self {
            kind: waiting.kind,
            name: waiting.name,
            version: waiting.version,
            id: waiting.id,
            task_id: waiting.task_id,
            since: waiting.since.map(time::from_wire),
            until: waiting.until.map(time::from_wire),
            verdict: waiting.verdict,
            severity,
            summary: waiting.summary,
        }
    }
}

impl From<fact::Value> for Value {
    fn from(value: fact::Value) -> Self {
        match value {
            fact::Value::Text(text) => Self::Text(text),
            fact::Value::Time(at) => Self::Time(time::from_wire(at)),
            fact::Value::Count(count) => Self::Count(count),
            fact::Value::Number(number) => Self::Number(number),
            fact::Value::Texts(texts) => Self::Texts(texts.texts),
        }
    }
}
