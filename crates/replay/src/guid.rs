//! Names that come out the same on every replay.

use strandline_model::{ExecutionId, Timestamp};
use uuid::Uuid;

/// The namespace the Durable Task SDKs for .NET, Java and JavaScript use.
const NAMESPACE: Uuid = Uuid::from_u128(0x9e95_2958_5e33_4daf_827f_2fa1_2937_b875);

/// The `counter`th GUID an instance asks for at the time `now`; the same a .NET orchestrator makes.
pub(crate) fn deterministic(instance: &str, now: Timestamp, counter: u64) -> u128 {
    let name = format!("{instance}_{}_{counter}", now.format(7));
    Uuid::new_v5(&NAMESPACE, name.as_bytes()).as_u128()
}

/// The GUID that names action `id` of an execution to an entity. Apart from those the code asks for:
/// sending an operation must not change them.
pub(crate) fn of_action(execution: ExecutionId, id: i32) -> String {
    Uuid::new_v5(&NAMESPACE, format!("{execution}:{id}").as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_what_dotnet_makes() {
        let now = Timestamp { seconds: 1_704_164_645, nanos: 0 };
        let guid = |counter| Uuid::from_u128(deterministic("abc", now, counter)).to_string();
        assert_eq!(guid(0), "a1239379-7719-5253-84a4-29155a59f930");
        assert_eq!(guid(1), "c4104527-03ea-5033-bcfa-41b86026bca0");
    }
}
