//! Activities that this process runs for a server.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use strandline_engine::metrics::CustomMetrics;
use strandline_engine::runtime::RunningActivity;
use strandline_model::InstanceId;

/// What an activity reported last.
pub(super) type Progress = Arc<Mutex<Option<String>>>;

#[derive(Default)]
pub(super) struct RunningActivities {
    state: Mutex<State>,
    metrics: CustomMetrics,
}

#[derive(Default)]
struct State {
    next: u64,
    running: BTreeMap<u64, (InstanceId, i32, Progress)>,
}

/// An activity is listed as long as this lives.
pub(super) struct Listed {
    number: u64,
    activities: Arc<RunningActivities>,
}

impl RunningActivities {
    pub(super) fn add(self: &Arc<Self>, instance: InstanceId, task_id: i32, progress: Progress) -> Listed {
        let mut state = self.state.lock();
        let number = state.next;
        state.next += 1;
        state.running.insert(number, (instance, task_id, progress));
        Listed { number, activities: self.clone() }
    }

    /// Where they count on their own account.
    pub(super) fn metrics(&self) -> &CustomMetrics {
        &self.metrics
    }

    pub(super) fn list(&self) -> Vec<RunningActivity> {
        let describe = |(instance, task_id, progress): &(InstanceId, i32, Progress)| RunningActivity {
            instance: instance.clone(),
            task_id: *task_id,
            progress: progress.lock().clone(),
        };
        self.state.lock().running.values().map(describe).collect()
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.activities.state.lock().running.remove(&self.number);
    }
}
