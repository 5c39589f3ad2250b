//! Every call a client made, what it was told, and the record that proves it.

use strandline_engine::pipeline::Read;
use strandline_hub::ReusePolicy;
use strandline_model::{EntityOperation, ExecutionId, InstanceId, Timestamp};
use strandline_store::PartitionRef;

use crate::Violation;

#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) at: PartitionRef,
    pub(crate) id: InstanceId,
    pub(crate) kind: CallKind,
    /// The durable version of the instance when the call was made.
    pub(crate) since: usize,
    pub(crate) state: CallState,
    /// The version of the instance that its record made.
    pub(crate) recorded: Option<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum CallKind {
    Start {
        execution: ExecutionId,
        reuse: ReusePolicy,
        scheduled: Option<Timestamp>,
    },
    Raise {
        name: String,
        input: Option<String>,
    },
    Terminate {
        reason: Option<String>,
        recursive: bool,
    },
    Suspend {
        reason: Option<String>,
    },
    Resume {
        reason: Option<String>,
    },
    Purge {
        execution: Option<ExecutionId>,
    },
    Rewind {
        reason: Option<String>,
        execution: ExecutionId,
    },
    Signal {
        operation: EntityOperation,
    },
    Read(Read),
    /// A worker reports a result; which one is in the books of activities.
    Activity {
        execution: ExecutionId,
        task_id: i32,
        result: ActivityResult,
    },
}

pub(crate) type ActivityResult = Result<Option<String>, strandline_model::FailureDetails>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallState {
    Open,
    Accepted,
    Refused,
    /// A crash came before the answer, and what was recorded is all there will ever be.
    Lost,
}

#[derive(Debug, Default)]
pub(crate) struct Calls(Vec<Call>);

impl Calls {
    /// Books a call and returns its number.
    pub(crate) fn open(&mut self, call: Call) -> usize {
        self.0.push(call);
        self.0.len() - 1
    }

    pub(crate) fn get(&self, number: usize) -> &Call {
        &self.0[number]
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn close(&mut self, number: usize, state: CallState) -> Result<(), Violation> {
        let call = &mut self.0[number];
        if call.state != CallState::Open {
            return Err(format!("call {number} is answered twice: {call:?}"));
        }
        call.state = state;
        Ok(())
    }

    /// Those nobody answered.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = (usize, &Call)> {
        self.0.iter().enumerate().filter(|(_, call)| call.state == CallState::Open)
    }

    /// Nobody will be answered any more; recorded calls stay recorded.
    pub(crate) fn lose_all(&mut self) -> u64 {
        let mut lost = 0;
        for call in self.0.iter_mut().filter(|c| c.state == CallState::Open) {
            call.state = CallState::Lost;
            lost += 1;
        }
        lost
    }

    /// Calls without a text of their own look alike, and a record may have been booked on the wrong one.
    /// Moves it to or from another that is not answered, as the answer of this one demands.
    pub(crate) fn rebook(&mut self, number: usize, recorded: bool) {
        if self.0[number].recorded.is_some() == recorded {
            return;
        }
        let this = &self.0[number];
        let other = self.0.iter().position(|call| {
            call.at == this.at
                && call.id == this.id
                && same_but_for_text(&call.kind, &this.kind)
                && call.state == CallState::Open
                && call.recorded.is_some() == recorded
        });
        if let Some(other) = other {
            let taken = self.0[other].recorded.take();
            self.0[other].recorded = std::mem::replace(&mut self.0[number].recorded, taken);
        }
    }

    /// A record was found that only a call can have caused: books it on the oldest call that fits.
    pub(crate) fn claim(
        &mut self,
        at: PartitionRef,
        id: &InstanceId,
        version: usize,
        what: &str,
        fits: impl Fn(&CallKind) -> bool,
    ) -> Result<usize, Violation> {
        let found = self.0.iter_mut().enumerate().find(|(_, call)| {
            call.at == at && call.id == *id && call.recorded.is_none() && fits(&call.kind) && call.is_live()
        });
        match found {
            Some((number, call)) => {
                call.recorded = Some(version);
                Ok(number)
            }
            None => Err(format!("{what} of {id} was recorded, but no open call asked for it (once)")),
        }
    }
}

/// A record of one could be that of the other.
fn same_but_for_text(a: &CallKind, b: &CallKind) -> bool {
    matches!((a, b), (CallKind::Purge { .. }, CallKind::Purge { .. })) || a == b
}

impl Call {
    /// A record may still come of it.
    fn is_live(&self) -> bool {
        matches!(self.state, CallState::Open | CallState::Accepted)
    }
}
