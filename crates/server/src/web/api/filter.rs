//! Which instances are meant: by what they have in common.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{self, Deserializer};
use strandline_hub::query::InstanceQuery;
use strandline_model::InstanceId;
use utoipa::IntoParams;

use super::fields::echo;
use super::instance::Status;
use super::problem::Problem;
use super::time::Time;

/// Conditions; all of them must be met.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// In one of these states; may be given several times.
    status: Vec<Status>,
    /// The orchestrator's name, exactly.
    name: Option<String>,
    /// A tag, as `key=value`; may be given several times, and all are needed.
    #[param(value_type = Vec<String>)]
    tag: Vec<Tag>,
    /// Direct sub-orchestrations of this instance.
    #[param(min_length = 1)]
    parent: Option<String>,
    /// What the instance id begins with. Lists are in the order of ids then.
    id_prefix: Option<String>,
    /// Created at this time or later.
    created_from: Option<Time>,
    /// Created before this time.
    created_to: Option<Time>,
    /// Ended at this time or later.
    completed_from: Option<Time>,
    /// Ended before this time.
    completed_to: Option<Time>,
}

/// A tag that an instance must have.
#[derive(Debug)]
pub(super) struct Tag(String, String);

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self(key.to_owned(), value.to_owned())),
            _ => Err(de::Error::custom("give key=value")),
        }
    }
}

impl Filter {
    pub(super) fn query(self) -> Result<InstanceQuery, Problem> {
        let time = |time: Option<Time>| time.map(|time| time.0);
        let parent = self.parent.as_deref().map(InstanceId::new).transpose();
        let mut tags = BTreeMap::new();
        for Tag(key, value) in self.tag {
            if tags.insert(key.clone(), value).is_some() {
                let detail =
                    format!("the tag {:?} is given twice: an instance has one value of it", echo(&key));
                return Err(Problem::parameter("tag", detail));
            }
        }
        Ok(InstanceQuery {
            statuses: self.status.into_iter().map(Into::into).collect(),
            name: self.name,
            created_from: time(self.created_from),
            created_to: time(self.created_to),
            completed_from: time(self.completed_from),
            completed_to: time(self.completed_to),
            id_prefix: self.id_prefix.filter(|prefix| !prefix.is_empty()),
            tags,
            parent: parent.map_err(|error| Problem::parameter("parent", error.to_string()))?,
            order_by: None,
        })
    }
}
