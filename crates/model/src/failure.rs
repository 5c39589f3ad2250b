use std::collections::BTreeMap;
use std::fmt;

/// Why an activity or an orchestration failed, with the chain of causes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FailureDetails {
    /// The type of the error as its language names it; retry predicates match on it.
    #[prost(string, tag = "1")]
    pub error_type: String,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(string, optional, tag = "3")]
    pub stack_trace: Option<String>,
    #[prost(message, optional, boxed, tag = "4")]
    pub inner_failure: Option<Box<FailureDetails>>,
    /// No retry policy retries it.
    #[prost(bool, tag = "5")]
    pub is_non_retriable: bool,
    /// Extra facts by name; each value is JSON text.
    #[prost(btree_map = "string, string", tag = "6")]
    pub properties: BTreeMap<String, String>,
}

impl FailureDetails {
    pub fn new(error_type: impl Into<String>, message: impl Into<String>) -> Self {
        Self { error_type: error_type.into(), message: message.into(), ..Self::default() }
    }

    pub fn non_retriable(mut self) -> Self {
        self.is_non_retriable = true;
        self
    }

    pub fn caused_by(mut self, inner: FailureDetails) -> Self {
        self.inner_failure = Some(Box::new(inner));
        self
    }

    /// This failure and its causes, outermost first.
    pub fn chain(&self) -> impl Iterator<Item = &FailureDetails> {
        std::iter::successors(Some(self), |f| f.inner_failure.as_deref())
    }

    /// Bytes of text held, for limits and accounting.
    pub fn text_bytes(&self) -> usize {
        self.chain()
            .map(|f| {
                let properties = f.properties.iter().map(|(k, v)| k.len() + v.len());
                f.error_type.len()
                    + f.message.len()
                    + f.stack_trace.as_ref().map_or(0, String::len)
                    + properties.sum::<usize>()
            })
            .sum()
    }
}

impl fmt::Display for FailureDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error_type, self.message)?;
        for cause in self.chain().skip(1) {
            write!(f, "; caused by {}: {}", cause.error_type, cause.message)?;
        }
        Ok(())
    }
}
