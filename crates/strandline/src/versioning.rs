//! Which instances a worker takes, by their versions.

use std::cmp::Ordering;

use strandline_model::FailureDetails;

/// Which versions of orchestrations a worker takes, besides what its functions are registered for.
///
/// By default it takes all. A worker with a version of its own takes its equals, or also what is
/// older; the others wait for another worker, or fail at once if [`or_fail`](Self::or_fail) says so.
///
/// ```
/// use strandline::Versioning;
///
/// # fn f(hub: strandline::TaskHub) {
/// let worker = hub.worker().versioning(Versioning::current_or_older("2.1").default_version("2.1"));
/// # }
/// ```
///
/// Versions are compared as numbers where both are of two to four numbers with dots (`2.9` is older
/// than `2.10`, and `2.1` than `2.1.0`), otherwise as texts ignoring case. No version is older than any.
#[derive(Clone, Debug, Default)]
pub struct Versioning {
    takes: Takes,
    fails_others: bool,
    default: Option<String>,
}

#[derive(Clone, Debug, Default)]
enum Takes {
    #[default]
    All,
    Only(String),
    UpTo(String),
}

impl Versioning {
    /// Takes all versions.
    pub fn any() -> Self {
        Self::default()
    }

    /// Takes instances of exactly this version.
    pub fn strict(version: impl Into<String>) -> Self {
        Self { takes: Takes::Only(version.into()), ..Self::default() }
    }

    /// Takes instances of this version and of older ones.
    pub fn current_or_older(version: impl Into<String>) -> Self {
        Self { takes: Takes::UpTo(version.into()), ..Self::default() }
    }

    /// Fails instances of other versions with an error of the type `VersionMismatch`. Otherwise they
    /// wait, visible as pending or running, until a worker comes that takes them.
    #[must_use]
    pub fn or_fail(mut self) -> Self {
        self.fails_others = true;
        self
    }

    /// Sub-orchestrations, and what entities start, get this version unless the call names one. They
    /// do not inherit that of their parent.
    #[must_use]
    pub fn default_version(mut self, version: impl Into<String>) -> Self {
        self.default = Some(version.into());
        self
    }

    pub(crate) fn version_of_children(&self) -> Option<&str> {
        self.default.as_deref()
    }

    fn matches(&self, version: Option<&str>) -> bool {
        let version = version.unwrap_or_default();
        match &self.takes {
            Takes::All => true,
            Takes::Only(own) => own == version,
            Takes::UpTo(own) => compare(version, own) != Ordering::Greater,
        }
    }

    /// What becomes of an instance of this version; `found`: its orchestrator is registered for it.
    pub(crate) fn judge(&self, version: Option<&str>, found: bool) -> Verdict {
        match (self.matches(version), self.fails_others) {
            (true, _) if found => Verdict::Run,
            (false, true) => Verdict::Fail,
            _ => Verdict::Wait,
        }
    }
}

/// What a worker does with an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Run,
    Wait,
    Fail,
}

/// The words of Durable Functions.
pub(crate) fn mismatch() -> FailureDetails {
    let text = "Orchestration version did not comply with Worker Versioning";
    FailureDetails::new("VersionMismatch", text).non_retriable()
}

fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim(), b.trim());
    match (a.is_empty(), b.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Less,
        (false, true) => return Ordering::Greater,
        (false, false) => {}
    }
    match (numbers(a), numbers(b)) {
        // A number that is missing is less than any: vectors are compared so.
        (Some(a), Some(b)) => a.cmp(&b),
        _ => folded(a).cmp(folded(b)),
    }
}

/// The numbers of a version such as `1.2.3`.
fn numbers(version: &str) -> Option<Vec<u32>> {
    const LARGEST: u32 = i32::MAX as u32;
    let parse = |part: &str| part.trim().parse::<u32>().ok().filter(|n| *n <= LARGEST);
    let numbers: Vec<u32> = version.split('.').map(parse).collect::<Option<_>>()?;
    (2..=4).contains(&numbers.len()).then_some(numbers)
}

fn folded(version: &str) -> impl Iterator<Item = char> {
    version.chars().flat_map(char::to_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers_if_both_are() {
        let table = [
            ("", "", Ordering::Equal),
            (" ", "", Ordering::Equal),
            ("", "0.0", Ordering::Less),
            ("1.0", "", Ordering::Greater),
            ("1.0", "1.0", Ordering::Equal),
            ("2.9", "2.10", Ordering::Less),
            ("10.0", "9.9", Ordering::Greater),
            ("1.0", "1.0.0", Ordering::Less),
            ("1.0.0.1", "1.0.0", Ordering::Greater),
            ("01.2", "1.2", Ordering::Equal),
            // One number alone, five of them, or other characters: text.
            ("10", "9", Ordering::Less),
            ("1.2.3.4.5", "1.10.3.4.5", Ordering::Greater),
            ("1.0-beta", "1.0", Ordering::Greater),
            ("V2", "v2", Ordering::Equal),
            ("v10", "V9", Ordering::Less),
            ("alpha", "Beta", Ordering::Less),
            ("99999999999.0", "1.0", Ordering::Greater),
        ];
        for (a, b, expected) in table {
            assert_eq!(compare(a, b), expected, "{a:?} and {b:?}");
            assert_eq!(compare(b, a), expected.reverse(), "{b:?} and {a:?}");
        }
    }

    #[test]
    fn strategies() {
        // Worker 2.0 and instances without a version, older, of the same version, newer.
        let instances = [None, Some("1.9"), Some("2.0"), Some("2.1")];
        let judged = |versioning: &Versioning| instances.map(|version| versioning.judge(version, true));
        use Verdict::{Fail, Run, Wait};
        assert_eq!(judged(&Versioning::any()), [Run, Run, Run, Run]);
        assert_eq!(judged(&Versioning::any().or_fail()), [Run, Run, Run, Run]);
        assert_eq!(judged(&Versioning::strict("2.0")), [Wait, Wait, Run, Wait]);
        assert_eq!(judged(&Versioning::strict("2.0").or_fail()), [Fail, Fail, Run, Fail]);
        assert_eq!(judged(&Versioning::current_or_older("2.0")), [Run, Run, Run, Wait]);
        assert_eq!(judged(&Versioning::current_or_older("2.0").or_fail()), [Run, Run, Run, Fail]);
        assert_eq!(Versioning::any().judge(None, false), Wait, "what is not registered waits");
        assert_eq!(Versioning::strict("").judge(None, true), Run, "no version is an empty one");
    }
}
