//! Functions that count how many of them run at a time, here and there.

use std::sync::atomic::{AtomicUsize, Ordering};

use strandline::prelude::*;
use tokio::sync::Barrier;

/// Counts of one test, by their number: functions get that as their input, wherever they run.
static COUNTS: [Counts; 16] = [const { Counts::new() }; 16];
static TAKEN: AtomicUsize = AtomicUsize::new(0);

struct Counts {
    now: AtomicUsize,
    most: AtomicUsize,
    begun: AtomicUsize,
    done: AtomicUsize,
    meeting: tokio::sync::OnceCell<Barrier>,
}

impl Counts {
    const fn new() -> Self {
        Self {
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            meeting: tokio::sync::OnceCell::const_new(),
        }
    }

    /// Which one it is that begins.
    fn enter(&self) -> usize {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        self.begun.fetch_add(1, Ordering::SeqCst)
    }

    fn leave(&self) {
        self.now.fetch_sub(1, Ordering::SeqCst);
        self.done.fetch_add(1, Ordering::SeqCst);
    }

    /// The first two meet: if they could not run together neither would end. The others just take their time.
    async fn work(&self) {
        let number = self.enter();
        if number < 2 {
            self.meeting.get_or_init(|| async { Barrier::new(2) }).await.wait().await;
        }
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        self.leave();
    }

    fn turn(&self) {
        self.enter();
        for _ in 0..20 {
            std::thread::yield_now();
        }
        self.leave();
    }
}

/// The counts that are one test's own.
pub(crate) struct Tally(usize);

impl Tally {
    pub(crate) fn new() -> Self {
        Self(TAKEN.fetch_add(1, Ordering::SeqCst))
    }

    pub(crate) fn number(&self) -> usize {
        self.0
    }

    /// Most that ran at a time.
    pub(crate) fn most(&self) -> usize {
        COUNTS[self.0].most.load(Ordering::SeqCst)
    }

    pub(crate) fn done(&self) -> usize {
        COUNTS[self.0].done.load(Ordering::SeqCst)
    }
}

#[activity]
pub(crate) async fn work_here(tally: usize) -> Result<()> {
    COUNTS[tally].work().await;
    Ok(())
}

#[activity]
pub(crate) async fn work_there(tally: usize) -> Result<()> {
    COUNTS[tally].work().await;
    Ok(())
}

/// Many activities at a time, of both kinds.
#[orchestrator]
pub(crate) async fn works(ctx: OrchestrationContext, (tally, each): (usize, usize)) -> Result<()> {
    let here = (0..each).map(|_| ctx.call(work_here, tally));
    let there = (0..each).map(|_| ctx.call(work_there, tally));
    try_join!(try_join_all(here), try_join_all(there))?;
    Ok(())
}

/// Work here that never ends, many at a time.
#[orchestrator]
pub(crate) async fn never_ends_here(ctx: OrchestrationContext, tally: usize) -> Result<()> {
    loop {
        try_join_all((0..5).map(|_| ctx.call(work_here, tally))).await?;
    }
}

#[orchestrator]
pub(crate) async fn never_ends_there(ctx: OrchestrationContext, tally: usize) -> Result<()> {
    loop {
        try_join_all((0..5).map(|_| ctx.call(work_there, tally))).await?;
    }
}

#[orchestrator]
pub(crate) async fn turns_here(ctx: OrchestrationContext, tally: usize) -> Result<()> {
    for _ in 0..5 {
        COUNTS[tally].turn();
        ctx.timer(millis(1)).await?;
    }
    Ok(())
}

#[orchestrator]
pub(crate) async fn turns_there(ctx: OrchestrationContext, tally: usize) -> Result<()> {
    for _ in 0..5 {
        COUNTS[tally].turn();
        ctx.timer(millis(1)).await?;
    }
    Ok(())
}

#[entity(name = "here")]
pub(crate) async fn entity_here(ctx: EntityContext<u32>) -> Result<u32> {
    COUNTS[ctx.input::<usize>()?].turn();
    ctx.set_state(ctx.state()? + 1)?;
    ctx.state()
}

#[entity(name = "there")]
pub(crate) async fn entity_there(ctx: EntityContext<u32>) -> Result<u32> {
    COUNTS[ctx.input::<usize>()?].turn();
    ctx.set_state(ctx.state()? + 1)?;
    ctx.state()
}

/// Calls many entities of both kinds.
#[orchestrator]
pub(crate) async fn operates(ctx: OrchestrationContext, (tally, each): (usize, usize)) -> Result<()> {
    let here = (0..each).map(|n| ctx.entity(entity_here::id(format!("{n}"))).call::<_, u32>("count", tally));
    let there =
        (0..each).map(|n| ctx.entity(entity_there::id(format!("{n}"))).call::<_, u32>("count", tally));
    try_join!(try_join_all(here), try_join_all(there))?;
    Ok(())
}
