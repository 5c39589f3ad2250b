//! What the entities of the simulator do: accounts whose money must never be lost or made.
//!
//! [`Act::effect`] says what an operation does if it succeeds, from nothing but its input and the state.
//! The worker runs it, and the auditor does so again.

use std::sync::Arc;

use strandline_engine::worker::EntityBatch;
use strandline_model::{EntityAction, EntityOperation, EntityOutcome, FailureDetails, NewState, Timestamp};

use crate::chance::Chance;
use crate::program;

/// Keys of the accounts. One is empty, one is no ASCII.
const KEYS: [&str; 4] = ["a", "b", "", "größe 😀"];

/// Error type of a [`Kind::Set`] that finds another balance than it was told.
pub(crate) const CONFLICT: &str = "Conflict";

/// The name that all accounts have as entities.
pub(crate) const NAME: &str = "account";

/// The id of an account.
pub(crate) fn account(number: usize) -> String {
    format!("@{NAME}@{}", KEYS[number % KEYS.len()])
}

/// How many there are in each hub.
pub(crate) const ACCOUNTS: usize = KEYS.len();

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Money from outside.
    Mint,
    /// Money of another account; never fails.
    Credit,
    /// Money for another account, on its way as a signal.
    Move,
    Get,
    /// Sets the balance, if it is what the caller believes.
    Set,
    /// Signals on, so many times.
    Relay,
    /// Signals itself, for later.
    Later,
    /// Starts an orchestration.
    Spawn,
    /// Asks for what can't be.
    Bad,
    /// Deletes the state.
    Clear,
    Fail,
    Flaky,
}

impl Kind {
    pub(crate) const ALL: [Self; 12] = [
        Self::Mint,
        Self::Credit,
        Self::Move,
        Self::Get,
        Self::Set,
        Self::Relay,
        Self::Later,
        Self::Spawn,
        Self::Bad,
        Self::Clear,
        Self::Fail,
        Self::Flaky,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Mint => "mint",
            Self::Credit => "credit",
            Self::Move => "move",
            Self::Get => "get",
            Self::Set => "set",
            Self::Relay => "relay",
            Self::Later => "later",
            Self::Spawn => "spawn",
            Self::Bad => "bad",
            Self::Clear => "clear",
            Self::Fail => "fail",
            Self::Flaky => "flaky",
        }
    }

    fn fails(self, chance: &mut Chance) -> bool {
        match self {
            Self::Fail => true,
            Self::Flaky => chance.one_in(2),
            Self::Credit | Self::Clear => false,
            _ => chance.one_in(14),
        }
    }
}

/// An operation: what it does and with which numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Act {
    pub(crate) kind: Kind,
    pub(crate) numbers: [i64; 2],
}

/// What an operation does.
pub(crate) struct Effect {
    /// `None` deletes it.
    pub(crate) state: Option<String>,
    pub(crate) output: String,
    pub(crate) actions: Vec<EntityAction>,
}

/// A state, as text `balance;operations;digest`: it depends on the order of all that was done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Account {
    pub(crate) balance: i64,
    operations: u64,
    digest: u64,
}

impl Account {
    pub(crate) fn read(state: Option<&str>) -> Self {
        let mut parts = state.unwrap_or_default().split(';');
        let mut number = || parts.next().and_then(|p| p.parse::<i64>().ok()).unwrap_or(0);
        Self { balance: number(), operations: number() as u64, digest: number() as u64 }
    }

    fn text(self) -> String {
        format!("{};{};{}", self.balance, self.operations, self.digest as i64)
    }

    fn note(&mut self, token: &str) {
        self.operations += 1;
        for byte in token.bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl Act {
    /// Any operation that a client or an orchestrator may send.
    pub(crate) fn random(chance: &mut Chance, now: Timestamp) -> Self {
        const KINDS: [(Kind, u32); 11] = [
            (Kind::Mint, 20),
            (Kind::Move, 14),
            (Kind::Get, 8),
            (Kind::Relay, 10),
            (Kind::Later, 5),
            (Kind::Spawn, 2),
            (Kind::Bad, 2),
            (Kind::Clear, 4),
            (Kind::Fail, 5),
            (Kind::Flaky, 5),
            (Kind::Set, 1),
        ];
        let kind = KINDS[chance.weighted(KINDS.iter().map(|(_, weight)| *weight))].0;
        let millis = now.as_millis_up() + chance.below(4_000) as i64;
        let numbers = match kind {
            Kind::Mint | Kind::Flaky => [chance.between(1, 99) as i64, 0],
            Kind::Move => [chance.between(1, 50) as i64, chance.index(ACCOUNTS) as i64],
            Kind::Relay => [chance.below(4) as i64, chance.index(ACCOUNTS) as i64],
            Kind::Later => [chance.below(3) as i64, millis],
            Kind::Spawn => [(chance.next() >> 2) as i64, chance.below(8) as i64],
            // Nobody believes that.
            Kind::Set => [i64::MIN, 0],
            _ => [0, 0],
        };
        Self { kind, numbers }
    }

    pub(crate) fn of(kind: Kind, numbers: [i64; 2]) -> Self {
        Self { kind, numbers }
    }

    pub(crate) fn name(&self) -> String {
        self.kind.name().to_owned()
    }

    /// Its input, with a token that nobody else uses.
    pub(crate) fn input(&self, token: &str) -> String {
        format!("{token} {} {}", self.numbers[0], self.numbers[1])
    }

    pub(crate) fn parse(operation: &EntityOperation) -> (Self, &str) {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == operation.name).unwrap_or(Kind::Get);
        let mut parts = operation.input.as_deref().unwrap_or_default().split(' ');
        let token = parts.next().unwrap_or_default();
        let mut number = || parts.next().and_then(|p| p.parse().ok()).unwrap_or(0);
        (Self { kind, numbers: [number(), number()] }, token)
    }

    /// What it does to a state when it succeeds; `Err` when it can't, with the error's type.
    pub(crate) fn effect(
        &self,
        token: &str,
        state: Option<&str>,
        ids: &[String],
    ) -> Result<Effect, &'static str> {
        let mut account = Account::read(state);
        let [first, second] = self.numbers;
        let mut actions = Vec::new();
        let mut signal = |to: String, act: Self, at: Option<i64>| {
            let input = Some(act.input(&format!("{token}+")));
            let scheduled_time = at.map(Timestamp::from_millis);
            actions.push(EntityAction::Signal {
                target: to,
                operation: act.name(),
                input,
                scheduled_time,
                trace: None,
            });
        };
        match self.kind {
            Kind::Mint | Kind::Credit | Kind::Flaky => account.balance += first,
            Kind::Move => {
                account.balance -= first;
                signal(account_at(second), Self::of(Kind::Credit, [first, 0]), None);
            }
            Kind::Get => {
                let state = state.map(str::to_owned);
                return Ok(Effect { state, output: account.balance.to_string(), actions });
            }
            Kind::Set if account.balance != first => return Err(CONFLICT),
            Kind::Set => account.balance = second,
            Kind::Relay if first > 0 => {
                signal(account_at(second), Self::of(Kind::Relay, [first - 1, second + 1]), None);
                signal(account_at(second), Self::of(Kind::Get, [0, 0]), None);
            }
            Kind::Relay => {}
            Kind::Later if first > 0 => {
                let due = second + 700 * first;
                signal(account_at(first), Self::of(Kind::Later, [first - 1, second]), Some(due));
            }
            Kind::Later => {}
            Kind::Spawn => {
                let id = usize::try_from(second).unwrap_or(0);
                actions.push(EntityAction::Start {
                    instance_id: ids.get(id).cloned().unwrap_or_default(),
                    name: "Main".to_owned(),
                    version: None,
                    input: Some(program::spawned(first as u64)),
                    scheduled_start: None,
                    trace: None,
                });
            }
            Kind::Bad => {
                signal("@nobody".to_owned(), Self::of(Kind::Get, [0, 0]), None);
                signal(account_at(0), Self::of(Kind::Get, [0, 0]), None);
            }
            Kind::Clear => return Ok(Effect { state: None, output: "cleared".to_owned(), actions }),
            Kind::Fail => return Err("Scripted"),
        }
        account.note(token);
        Ok(Effect { state: Some(account.text()), output: account.balance.to_string(), actions })
    }
}

fn account_at(number: i64) -> String {
    account(usize::try_from(number).unwrap_or(0))
}

/// Runs a batch, or the beginning of it. `run` is a number no other run has. A broken worker keeps what
/// a failed operation did.
pub(crate) fn run(
    batch: &EntityBatch,
    run: u64,
    ids: &[String],
    chance: &mut Chance,
    broken: bool,
) -> EntityOutcome {
    let all = batch.operations.len();
    let count = if chance.one_in(8) { chance.index(all + 1) } else { all };
    let mut outcome = EntityOutcome::default();
    let mut state: Option<String> = batch.state.as_deref().map(str::to_owned);
    for (number, operation) in batch.operations.iter().take(count).enumerate() {
        let (act, token) = Act::parse(operation);
        let tag = format!("run {run} {number}");
        let failure = |kind: &str| FailureDetails::new(kind, tag.as_str());
        let result = match act.effect(token, state.as_deref(), ids) {
            Err(kind) => Err(failure(kind)),
            Ok(effect) if act.kind.fails(chance) => {
                if broken {
                    state = effect.state;
                }
                Err(failure("Scripted"))
            }
            Ok(effect) => {
                state = effect.state;
                outcome.actions.extend(effect.actions);
                Ok(Some(format!("{} {tag}", effect.output)))
            }
        };
        outcome.results.push(result);
    }
    let same = state.as_deref() == batch.state.as_deref();
    outcome.state = if same && chance.one_in(2) { NewState::Unchanged } else { NewState::Set(state) };
    outcome
}

/// Operations as a batch holds them.
pub(crate) fn names(operations: &[Arc<EntityOperation>]) -> Vec<&str> {
    operations.iter().map(|o| o.name.as_str()).collect()
}
