//! What each method needs.

use crate::keys::Permission;

/// What a caller of a method must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: for probes.
    Nothing,
    /// The permission, in the hub that the call names.
    InHub(Permission),
    /// The permission in some hub. The method itself shows no more than the hubs that
    /// [`Principal::sees`](super::Principal::sees).
    InServer(Permission),
}

use Need::{InHub, InServer, Nothing};
use Permission::{
    Administer, Connect, History, Operate, Purge, RaiseEvent, Read, Restart, Resume, Rewind, Signal, Start,
    Suspend, Terminate, Work,
};

/// Services by name, methods by name.
const SERVICES: [(&str, &[(&str, Need)]); 5] = [
    (
        "TaskHubSidecarService",
        &[
            ("AbandonTaskActivityWorkItem", InHub(Work)),
            ("AbandonTaskEntityWorkItem", InHub(Work)),
            ("AbandonTaskOrchestratorWorkItem", InHub(Work)),
            ("CleanEntityStorage", InHub(Operate)),
            ("CompleteActivityTask", InHub(Work)),
            ("CompleteEntityTask", InHub(Work)),
            ("CompleteOrchestratorTask", InHub(Work)),
            ("CreateTaskHub", InHub(Administer)),
            ("DeleteTaskHub", InHub(Administer)),
            ("GetEntity", InHub(Read)),
            ("GetInstance", InHub(Read)),
            ("GetWorkItems", InHub(Work)),
            ("Hello", InHub(Connect)),
            ("ListInstanceIds", InHub(Read)),
            ("PurgeInstances", InHub(Purge)),
            ("QueryEntities", InHub(Read)),
            ("QueryInstances", InHub(Read)),
            ("RaiseEvent", InHub(RaiseEvent)),
            ("RestartInstance", InHub(Restart)),
            ("ResumeInstance", InHub(Resume)),
            ("RewindInstance", InHub(Rewind)),
            ("SignalEntity", InHub(Signal)),
            ("SkipGracefulOrchestrationTerminations", InHub(Operate)),
            ("StartInstance", InHub(Start)),
            ("StreamInstanceHistory", InHub(History)),
            ("SuspendInstance", InHub(Suspend)),
            ("TerminateInstance", InHub(Terminate)),
            ("WaitForInstanceCompletion", InHub(Read)),
            ("WaitForInstanceStart", InHub(Read)),
        ],
    ),
    ("grpc.health.v1.Health", &[("Check", Nothing), ("List", Nothing), ("Watch", Nothing)]),
    ("grpc.reflection.v1.ServerReflection", &[("ServerReflectionInfo", InServer(Connect))]),
    ("grpc.reflection.v1alpha.ServerReflection", &[("ServerReflectionInfo", InServer(Connect))]),
    (
        "strandline.v1.Management",
        &[
            ("CountInstances", InHub(Read)),
            ("Diagnose", InHub(Read)),
            ("GetEntityStatus", InHub(Read)),
            ("GetHistory", InHub(Read)),
            ("ListHubs", InServer(Read)),
            ("ListInstances", InHub(Read)),
            ("ListStuck", InHub(Read)),
            ("ListWorkers", InHub(Read)),
        ],
    ),
];

/// What the method at `/service/method` needs; `None` for one that is not listed, which nobody may call.
pub fn need(path: &str) -> Option<Need> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let at = SERVICES.binary_search_by_key(&service, |(name, _)| name).ok()?;
    let methods = SERVICES.get(at)?.1;
    let at = methods.binary_search_by_key(&method, |(name, _)| name).ok()?;
    methods.get(at).map(|(_, need)| *need)
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::FileDescriptorSet;
    use strandline_proto::FILE_DESCRIPTOR_SET;

    use super::*;

    #[test]
    fn every_method_of_the_services_is_listed_and_no_other() {
        let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
        let mut generated: Vec<String> = Vec::new();
        for file in &files.file {
            let package =
                if file.package().is_empty() { String::new() } else { format!("{}.", file.package()) };
            for service in &file.service {
                let path = |method: &str| format!("/{package}{}/{method}", service.name());
                generated.extend(service.method.iter().map(|method| path(method.name())));
            }
        }
        assert!(generated.len() > 30, "{generated:?}");
        for path in &generated {
            assert!(need(path).is_some(), "{path} needs a line in SERVICES: who may call it?");
        }
        let listed = SERVICES.iter().filter(|(service, _)| !service.starts_with("grpc.")).flat_map(
            |(service, methods)| methods.iter().map(move |(method, _)| format!("/{service}/{method}")),
        );
        for path in listed {
            assert!(generated.contains(&path), "{path} is no method any more");
            assert_ne!(need(&path), Some(Nothing), "{path} is open to everybody");
        }
    }

    #[test]
    fn lists_are_in_the_order_the_search_relies_on() {
        assert!(SERVICES.is_sorted_by(|a, b| a.0 < b.0));
        for (_, methods) in SERVICES {
            assert!(methods.is_sorted_by(|a, b| a.0 < b.0));
        }
    }

    #[test]
    fn what_is_not_listed_is_not_there() {
        for path in ["", "/", "/TaskHubSidecarService", "TaskHubSidecarService/Hello", "/x/Hello", "//Hello"]
        {
            assert_eq!(need(path), None, "{path}");
        }
        assert_eq!(need("/TaskHubSidecarService/Hello/"), None);
        assert_eq!(need("/TaskHubSidecarService/GetWorkItems"), Some(InHub(Work)));
    }
}
