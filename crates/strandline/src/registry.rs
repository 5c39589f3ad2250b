//! The functions and states of a worker.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use strandline_model::limits::{ACTIONS_MAX, NAME_BYTES_MAX};

use crate::activity::{ActivityRequest, Need, States};
use crate::context::OrchestrationContext;
use crate::entity::{EntityCode, EntityContext, EntityMethods, Function, Methods};
use crate::error::{Error, Result};
use crate::handle::{AnActivity, AnOrchestration, Callable, Kind, Named};
use crate::json;
use crate::register::{Outcome, Register};
use crate::versioning::Versioning;
use crate::worker::RustWorker;

pub(crate) type ActivityCode = Arc<
    dyn Fn(ActivityRequest) -> Pin<Box<dyn Future<Output = Result<Option<String>>> + Send>> + Send + Sync,
>;

pub(crate) type OrchestratorCode = Arc<
    dyn Fn(OrchestrationContext, Option<String>) -> Pin<Box<dyn Future<Output = Result<Option<String>>>>>
        + Send
        + Sync,
>;

/// Collects what a worker serves; [`Registry::build`] makes the worker.
///
/// ```
/// use strandline::prelude::*;
///
/// #[activity]
/// async fn greet(city: String) -> Result<String> { Ok(format!("Hello {city}!")) }
///
/// #[orchestrator]
/// async fn hello(ctx: OrchestrationContext, city: String) -> Result<String> {
///     ctx.call(greet, city).await
/// }
///
/// let worker = Registry::new().register((greet, hello)).build()?;
/// # Ok::<(), strandline::Error>(())
/// ```
#[derive(Default)]
#[must_use = "a registry does nothing until a worker is built from it"]
pub struct Registry {
    functions: Functions,
    states: States,
    needs: Vec<(Need, String)>,
    problems: Vec<String>,
    settings: Settings,
}

/// Settings of a worker.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) actions_max: usize,
    pub(crate) cached_entries_max: usize,
    pub(crate) cached_bytes_max: usize,
    pub(crate) versioning: Versioning,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            actions_max: ACTIONS_MAX,
            cached_entries_max: 20_000,
            cached_bytes_max: 64 * 1024 * 1024,
            versioning: Versioning::any(),
        }
    }
}

#[derive(Default)]
pub(crate) struct Functions {
    pub(crate) activities: Versions<ActivityCode>,
    pub(crate) orchestrators: Versions<OrchestratorCode>,
    pub(crate) entities: Versions<EntityCode>,
}

/// Functions by folded name, then by version; the unversioned one has the empty version.
pub(crate) struct Versions<C> {
    by_name: BTreeMap<String, Entry<C>>,
}

struct Entry<C> {
    name: String,
    versions: BTreeMap<String, C>,
}

impl<C> Default for Versions<C> {
    fn default() -> Self {
        Self { by_name: BTreeMap::new() }
    }
}

impl<C> Versions<C> {
    fn add(&mut self, name: &str, version: Option<&str>, code: C) -> bool {
        let entry = self.by_name.entry(name.to_ascii_lowercase());
        let entry = entry.or_insert_with(|| Entry { name: name.to_owned(), versions: BTreeMap::new() });
        entry.versions.insert(version.unwrap_or_default().to_owned(), code).is_none()
    }

    /// The exact version; else the unversioned one, where no version is registered at all.
    pub(crate) fn find(&self, name: &str, version: Option<&str>) -> Option<&C> {
        let versions = &self.by_name.get(&name.to_ascii_lowercase())?.versions;
        let exact = versions.get(version.unwrap_or_default());
        exact.or_else(|| if versions.len() == 1 { versions.get("") } else { None })
    }

    pub(crate) fn knows(&self, name: &str) -> bool {
        self.by_name.contains_key(&name.to_ascii_lowercase())
    }

    /// The names with their versions, the empty one for unversioned; none listed where any is served.
    #[cfg(feature = "remote")]
    pub(crate) fn served(&self) -> impl Iterator<Item = (String, Vec<String>)> {
        self.by_name.values().map(|entry| {
            let versions: Vec<_> = entry.versions.keys().cloned().collect();
            (entry.name.clone(), if versions == [""] { Vec::new() } else { versions })
        })
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.by_name.values().map(|entry| entry.name.clone()).collect()
    }
}

impl Registry {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds functions: one, or a tuple of up to sixteen (tuples may be nested).
    pub fn register(mut self, functions: impl Register) -> Self {
        functions.register(&mut self);
        self
    }

    /// Gives activities and entities a value to ask for as [`State<T>`](crate::State).
    pub fn state<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        if self.states.insert(TypeId::of::<T>(), Arc::new(value)).is_some() {
            self.problems.push(format!("state `{}` is given twice", std::any::type_name::<T>()));
        }
        self
    }

    /// Most actions one execution may take before it fails; 100,000 by default.
    pub fn max_actions(mut self, actions: usize) -> Self {
        self.settings.actions_max = actions;
        self
    }

    /// How many suspended orchestrations each engine thread keeps, and about how many bytes of them;
    /// the rest is rebuilt from history when needed. 20,000 and 64 MiB by default.
    pub fn cache(mut self, orchestrations: usize, bytes: usize) -> Self {
        self.settings.cached_entries_max = orchestrations;
        self.settings.cached_bytes_max = bytes;
        self
    }

    /// Which versions of orchestrations the worker takes: all by default.
    pub fn versioning(mut self, versioning: Versioning) -> Self {
        self.settings.versioning = versioning;
        self
    }

    /// The worker, or everything that is wrong with what was registered.
    pub fn build(mut self) -> Result<RustWorker> {
        for (need, who) in &self.needs {
            if !self.states.contains_key(&need.id) {
                self.problems.push(format!("{who} needs state `{}`: give it with `.state(..)`", need.name));
            }
        }
        if !self.problems.is_empty() {
            return Err(Error::new("RegistrationError", self.problems.join("; ")));
        }
        Ok(RustWorker::new(self.functions, self.states, self.settings))
    }

    /// Adds an activity and the code that runs it. What `#[activity]` expands to.
    pub fn add_activity<A, F, Fut>(&mut self, activity: A, needs: &[Option<Need>], code: F)
    where
        A: Callable<Kind = AnActivity>,
        A::Output: Serialize,
        F: Fn(ActivityRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A::Output>> + Send + 'static,
    {
        let call = activity.into_call();
        let name = call.name().to_owned();
        self.need(needs, AnActivity::WORD, &name);
        let label: Arc<str> = name.as_str().into();
        let code: ActivityCode = Arc::new(move |request| {
            let label = label.clone();
            let output = code(request);
            Box::pin(
                async move { json::encode(&output.await?, || format!("the result of activity '{label}'")) },
            )
        });
        let new = self.functions.activities.add(&name, call.requested_version(), code);
        self.check(AnActivity::WORD, &name, call.requested_version(), new);
    }

    /// Adds an orchestrator and the code that runs it. What `#[orchestrator]` expands to.
    pub fn add_orchestrator<C, F, Fut>(&mut self, orchestrator: C, code: F)
    where
        C: Callable<Kind = AnOrchestration>,
        C::Input: DeserializeOwned + 'static,
        C::Output: Serialize,
        F: Fn(OrchestrationContext, C::Input) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<C::Output>> + 'static,
    {
        let call = orchestrator.into_call();
        let name = call.name().to_owned();
        let label: Arc<str> = name.as_str().into();
        let code = Arc::new(code);
        let code: OrchestratorCode = Arc::new(move |ctx, input| {
            let (label, code) = (label.clone(), code.clone());
            Box::pin(async move {
                let input = json::decode::<C::Input>(input.as_deref()).map_err(|error| {
                    json::unreadable::<C::Input>(&format!("the input of orchestrator '{label}'"), &error)
                })?;
                let output = code(ctx, input).await?;
                json::encode(&output, || format!("the result of orchestrator '{label}'"))
            })
        });
        let new = self.functions.orchestrators.add(&name, call.requested_version(), code);
        self.check(AnOrchestration::WORD, &name, call.requested_version(), new);
    }

    /// Adds an entity whose operations are methods. What `#[entity]` on an `impl` block expands to.
    pub fn add_entity<E: EntityMethods>(&mut self) {
        self.insert_entity(E::NAME, &E::needs(), Arc::new(|| Box::new(Methods::<E>::default())));
    }

    /// Adds an entity and the function that runs its operations. What `#[entity]` on a function
    /// expands to.
    pub fn add_entity_fn<F, S, Fut>(&mut self, name: &str, needs: &[Option<Need>], code: F)
    where
        F: Fn(EntityContext<S>) -> Fut + Send + Sync + 'static,
        S: 'static,
        Fut: Future + Send + 'static,
        Fut::Output: Outcome,
        <Fut::Output as Outcome>::Value: Serialize,
    {
        let code = Arc::new(code);
        self.insert_entity(name, needs, Arc::new(move || Box::new(Function::new(code.clone()))));
    }

    fn insert_entity(&mut self, name: &str, needs: &[Option<Need>], code: EntityCode) {
        self.need(needs, "entity", name);
        let new = self.functions.entities.add(name, None, code);
        self.check("entity", name, None, new);
        if name.contains('@') {
            self.problems.push(format!("entity '{name}': a name has no '@'"));
        }
    }

    /// Something that is wrong with what was registered.
    #[cfg(feature = "http")]
    pub(crate) fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    fn need(&mut self, needs: &[Option<Need>], kind: &str, name: &str) {
        self.needs.extend(needs.iter().flatten().map(|need| (*need, format!("{kind} '{name}'"))));
    }

    fn check(&mut self, kind: &str, name: &str, version: Option<&str>, new: bool) {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            self.problems.push(format!("{kind} '{name}': a name has 1 to {NAME_BYTES_MAX} bytes"));
        }
        if !new {
            let version = version.map(|v| format!(" (version '{v}')")).unwrap_or_default();
            self.problems
                .push(format!("{kind} '{name}'{version} is registered twice (names ignore ASCII case)"));
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("activities", &self.functions.activities.names())
            .field("orchestrators", &self.functions.orchestrators.names())
            .field("entities", &self.functions.entities.names())
            .finish_non_exhaustive()
    }
}
