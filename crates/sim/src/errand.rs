//! What orchestrators do with entities: signals, calls, critical sections.

use std::time::Duration;

use futures::future::{Either, select};
use strandline_model::Timestamp;
use strandline_replay::{SubOrchestrationCall, TaskError};

use crate::account::{ACCOUNTS, Act, Kind, account};
use crate::chance::Chance;
use crate::program::{ACTIVITIES, Activity, EVENTS, spawned};
use crate::script::Script;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Errand {
    /// One-way, perhaps for later.
    Signal { to: usize, act: Act, millis: Option<u64> },
    /// `handled`: goes on when it fails.
    Call { to: usize, act: Act, handled: bool },
    /// Calls and does not wait.
    Abandon { to: usize, act: Act },
    Section {
        over: Vec<usize>,
        inside: Inside,
        pause: Pause,
        /// Leaves it; otherwise the end of the execution does.
        leave: bool,
    },
    /// Asks for locks, and stops waiting for them after a while.
    GiveUp { over: Vec<usize>, millis: u64 },
    /// A signal to what is no entity.
    Invalid,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Inside {
    /// Reads two balances and sets both: nobody may come between.
    Transfer { amount: i64 },
    /// Calls each.
    Calls(Act),
    /// Does what is not allowed there.
    Outlaw,
}

/// What goes on in the middle of a section.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Pause {
    No,
    Timer(u64),
    Event { name: &'static str, millis: u64 },
    Activity(Activity),
}

impl Errand {
    pub(crate) fn random(chance: &mut Chance, activity: Activity) -> Self {
        let to = chance.index(ACCOUNTS);
        let act = Act::random(chance, Timestamp::from_millis(1_704_067_200_000));
        match chance.below(20) {
            0..=4 => Self::Signal { to, act, millis: chance.one_in(4).then(|| chance.below(3_000)) },
            5..=8 => Self::Call { to, act, handled: !chance.one_in(3) },
            9 => Self::Abandon { to, act },
            10..=17 => Self::Section {
                over: lock_set(chance),
                inside: match chance.below(6) {
                    0 | 1 => Inside::Calls(act),
                    2 => Inside::Outlaw,
                    _ => Inside::Transfer { amount: chance.between(1, 40) as i64 },
                },
                pause: match chance.below(5) {
                    0 => Pause::Timer(chance.below(1_500)),
                    1 => Pause::Event { name: chance.pick::<&str>(EVENTS), millis: chance.below(2_000) },
                    2 => Pause::Activity(Activity { name: chance.pick::<&str>(ACTIVITIES), ..activity }),
                    _ => Pause::No,
                },
                leave: !chance.one_in(3),
            },
            18 => Self::GiveUp { over: lock_set(chance), millis: chance.below(20) },
            _ => {
                if chance.one_in(4) {
                    Self::Invalid
                } else {
                    Self::Signal { to, act: Act::of(Kind::Mint, [100, 0]), millis: None }
                }
            }
        }
    }
}

/// One to three accounts, in any order.
fn lock_set(chance: &mut Chance) -> Vec<usize> {
    let first = chance.index(ACCOUNTS);
    let count = *chance.pick(&[1, 2, 2, 2, 3]);
    let step = *chance.pick(&[1, ACCOUNTS - 1]);
    (0..count).map(|n| (first + n * step) % ACCOUNTS).collect()
}

impl Script {
    pub(crate) async fn run_errand(&self, errand: Errand) -> Result<(), TaskError> {
        match errand {
            Errand::Signal { to, act, millis } => {
                let due = millis.map(|m| self.ctx.now().saturating_add(Duration::from_nanos(m * 1_000_001)));
                let input = Some(act.input(&self.unique()));
                // Refused when the code is in a section over it.
                let _sent = self.ctx.signal_entity(account(to), act.name(), input, due);
                Ok(())
            }
            Errand::Call { to, act, handled } => {
                let result = self.call_account(to, act).await.map(drop);
                if handled { Ok(()) } else { result }
            }
            Errand::Abandon { to, act } => {
                drop(self.ctx.call_entity(account(to), act.name(), Some(act.input(&self.unique()))));
                Ok(())
            }
            Errand::Section { over, inside, pause, leave } => {
                let ids = over.iter().map(|n| account(*n)).collect();
                let Ok((section, locked)) = self.ctx.lock_entities(ids) else { return Ok(()) };
                locked.await?;
                self.around.notes.borrow_mut().sections += 1;
                match inside {
                    Inside::Transfer { amount } => self.transfer(&over, amount, &pause).await?,
                    Inside::Calls(act) => {
                        let first = act.input(&self.unique());
                        let first = self.ctx.call_entity(account(over[0]), act.name(), Some(first));
                        self.pause(&pause).await?;
                        if let Ok(first) = first {
                            first.await?;
                        }
                        for to in over.into_iter().skip(1) {
                            // What fails in the middle leaves the rest undone.
                            self.call_account(to, act).await?;
                        }
                    }
                    Inside::Outlaw => self.break_rules(&over).await?,
                }
                if leave {
                    self.ctx.unlock_entities(&section);
                }
                Ok(())
            }
            Errand::GiveUp { over, millis } => {
                let ids = over.iter().map(|n| account(*n)).collect();
                let Ok((section, locked)) = self.ctx.lock_entities(ids) else { return Ok(()) };
                match select(locked, self.timer(millis)).await {
                    Either::Left(_) => self.ctx.unlock_entities(&section),
                    Either::Right((_, locked)) => drop(locked),
                }
                Ok(())
            }
            Errand::Invalid => {
                let _sent = self.ctx.signal_entity("@nobody".to_owned(), "get".to_owned(), None, None);
                Ok(())
            }
        }
    }

    /// What code does because something failed. A rewind takes it back.
    pub(crate) fn make_up(&self) {
        let act = Act::of(Kind::Mint, [1, 0]);
        let _sent = self.ctx.signal_entity(account(0), act.name(), Some(act.input(&self.unique())), None);
        let input = Some(spawned(self.ctx.random_stream().0 >> 2));
        let child = SubOrchestrationCall { name: "Child".to_owned(), input, ..Default::default() };
        drop(self.ctx.call_sub_orchestration(child, None));
    }

    /// A text that no other operation has. It is the same after a rewind, which changes the execution's id
    /// and keeps its seed.
    fn unique(&self) -> String {
        let (guid, (seed, stream)) = (self.ctx.new_guid(), self.ctx.random_stream());
        format!("s{guid:x}-{seed:x}-{stream}")
    }

    async fn call_account(&self, to: usize, act: Act) -> Result<i64, TaskError> {
        self.call_as(to, act, &self.unique()).await
    }

    async fn call_as(&self, to: usize, act: Act, token: &str) -> Result<i64, TaskError> {
        let called = self.ctx.call_entity(account(to), act.name(), Some(act.input(token)));
        let called = called.map_err(|failure| TaskError { failure, task_id: None })?;
        let output = called.await?.unwrap_or_default();
        Ok(output.split(' ').next().and_then(|balance| balance.parse().ok()).unwrap_or(0))
    }

    /// Moves money from the first to the second by what it read before.
    async fn transfer(&self, over: &[usize], amount: i64, pause: &Pause) -> Result<(), TaskError> {
        let (from, to) = (over[0], over[over.len() - 1]);
        let get = Act::of(Kind::Get, [0, 0]);
        let had = self.call_account(from, get).await?;
        if from == to {
            return self.pause(pause).await;
        }
        let other = self.call_account(to, get).await?;
        self.pause(pause).await?;
        let transfer = self.unique();
        self.call_as(from, Act::of(Kind::Set, [had, had - amount]), &format!("{transfer}/from")).await?;
        self.call_as(to, Act::of(Kind::Set, [other, other + amount]), &format!("{transfer}/to")).await?;
        Ok(())
    }

    async fn pause(&self, pause: &Pause) -> Result<(), TaskError> {
        match pause {
            Pause::No => Ok(()),
            Pause::Timer(millis) => self.timer(*millis).await.map(drop),
            Pause::Event { name, millis } => {
                let timer = self.timer(*millis);
                if let Either::Left((input, _)) = select(self.ctx.wait_for(name), timer).await {
                    self.consumed(name, input);
                }
                Ok(())
            }
            Pause::Activity(call) => self.call(call).await.map(drop),
        }
    }

    /// All of this is refused at once, and nothing of it leaves.
    async fn break_rules(&self, over: &[usize]) -> Result<(), TaskError> {
        let before = self.ctx.history_len();
        let get = Act::of(Kind::Get, [0, 0]);
        let inside = self.ctx.signal_entity(account(over[0]), get.name(), None, None).is_err();
        let nested = self.ctx.lock_entities(vec![account(0)]).is_err();
        let other = (0..ACCOUNTS).find(|n| !over.contains(n)).unwrap_or(0);
        let outside = self.call_account(other, get).await.is_err();
        assert!(inside && nested && outside, "a critical section let something through");
        assert_eq!(before, self.ctx.history_len(), "something that is refused waits");
        Ok(())
    }
}
