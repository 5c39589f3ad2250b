//! Batches of entity operations on a worker: late, in any order, cut short, given back, or reported under
//! a token that does not count any more. They live and die with the node.

use strandline_engine::pipeline::EntityDispatch;

use crate::Violation;
use crate::account;
use crate::mutants::Mutant;
use crate::world::World;

impl World {
    /// A batch leaves for the worker.
    pub(crate) fn take_batch_of_entity(&mut self, dispatch: EntityDispatch) -> Result<(), Violation> {
        let names = account::names(&dispatch.batch.operations);
        self.trace
            .tell(|| format!("{:?} batch {} of {}: {names:?}", dispatch.at, dispatch.token, dispatch.id));
        self.auditor.batch_out(&dispatch)?;
        self.coverage.add("entity/batch of several", u64::from(dispatch.batch.operations.len() > 1));
        if let Some(node) = &mut self.node {
            node.batches.push(dispatch);
        }
        Ok(())
    }

    /// The worker runs a batch and reports, or gives it back.
    pub(crate) fn run_batch(&mut self) -> Result<(), Violation> {
        let Some(node) = &mut self.node else { return Ok(()) };
        if node.batches.is_empty() {
            return Ok(());
        }
        let index = self.chance.index(node.batches.len());
        let dispatch = node.batches.swap_remove(index);
        let (at, token) = (dispatch.at, dispatch.token);
        if self.awkward && self.chance.one_in(10) {
            self.trace.tell(|| format!("{at:?} batch {token} of {} is given back", dispatch.id));
            self.coverage.hit("entity/batch abandoned");
            self.auditor.batch_back(&dispatch);
            if let Some(pipeline) = node.pipelines.get_mut(&at) {
                pipeline.entity_abandoned(&dispatch.id, token);
            }
            // Whoever had it may go on with it all the same.
            node.old_batches.push(dispatch);
            return Ok(());
        }
        let repeated = (self.awkward && self.chance.one_in(4)).then(|| dispatch.clone());
        self.report_batch(dispatch, true);
        if let Some(node) = &mut self.node {
            node.old_batches.extend(repeated);
        }
        Ok(())
    }

    /// The outcome of a batch that was given back, or reported before.
    pub(crate) fn run_old_batch(&mut self) -> Result<(), Violation> {
        let Some(node) = &mut self.node else { return Ok(()) };
        if node.old_batches.is_empty() {
            return Ok(());
        }
        let index = self.chance.index(node.old_batches.len());
        let dispatch = node.old_batches.swap_remove(index);
        self.coverage.hit("entity/old token");
        self.report_batch(dispatch, false);
        Ok(())
    }

    fn report_batch(&mut self, dispatch: EntityDispatch, counts: bool) {
        let run = self.token();
        let ids = self.knobs.ids.clone();
        let broken = self.mutant == Some(Mutant::KeepFailedState);
        let outcome = account::run(&dispatch.batch, run, &ids, &mut self.chance, broken);
        let (given, done) = (dispatch.batch.operations.len(), outcome.results.len());
        self.trace.tell(|| {
            let EntityDispatch { at, id, token, .. } = &dispatch;
            format!("{at:?} batch {token} of {id} comes back (counts: {counts}): {outcome:?}")
        });
        if counts {
            self.coverage.add("entity/fewer results", u64::from(done < given));
            // Without a result it counts as given back.
            if done == 0 {
                self.auditor.batch_back(&dispatch);
            } else {
                self.auditor.batch_ran(&dispatch, &outcome);
            }
        }
        let EntityDispatch { at, id, token, .. } = dispatch;
        let chance = &mut self.chance;
        if let Some(pipeline) = self.node.as_mut().and_then(|n| n.pipelines.get_mut(&at)) {
            pipeline.entity_finished(&id, token, outcome, None, &mut || chance.wide());
        }
    }
}
