//! The list of what is stuck.

use strandline_proto::management::management_client::ManagementClient;
use strandline_proto::management::{InstanceFilter, ListStuckRequest, Severity};
use tonic::Code;

use crate::actions::done;
use crate::ask::{soon_why, taking};
use crate::support::{TestServer, code};

#[tokio::test]
async fn it_is_read_page_by_page() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker_with(taking("w", &["Order"], &[])).await.unwrap();
    for n in 0..7 {
        client.start_as("Unknown", &format!("stuck-{n}")).await;
        client.start_as("Order", &format!("waits-{n}")).await;
        worker.take(Vec::new()).await;
        client.start_as("Order", &format!("over-{n}")).await;
        worker.take(vec![done(0, "1")]).await;
        client.ended(&format!("over-{n}")).await;
    }
    soon_why(&server, "stuck-6", "unknownName").await;
    soon_why(&server, "waits-6", "externalEvent").await;

    let mut management = ManagementClient::new(server.channel().await);
    let list = async |management: &mut ManagementClient<_>, asked: ListStuckRequest| {
        let (mut ids, mut pages, mut examined, mut asked) = (Vec::new(), 0, 0, asked);
        loop {
            let page = management.list_stuck(asked.clone()).await.unwrap().into_inner();
            ids.extend(page.diagnoses.into_iter().map(|found| found.instance_id));
            pages += 1;
            examined += page.examined;
            asked.continuation_token = page.continuation_token;
            if asked.continuation_token.is_none() {
                return (ids, pages, examined);
            }
        }
    };
    let newest_first: Vec<_> = (0..7).rev().map(|n| format!("stuck-{n}")).collect();
    let (ids, pages, examined) =
        list(&mut management, ListStuckRequest { page_size: 4, ..Default::default() }).await;
    assert_eq!((ids, examined), (newest_first, 14));
    assert!(pages >= 4, "{pages}");

    let all = ListStuckRequest { severity: Severity::Info as i32, ..Default::default() };
    let (ids, _, _) = list(&mut management, all).await;
    assert_eq!(ids.len(), 14);
    let filter = InstanceFilter { name: Some("Order".to_owned()), ..Default::default() };
    let (ids, _, examined) =
        list(&mut management, ListStuckRequest { filter: Some(filter), ..Default::default() }).await;
    assert_eq!((ids, examined), (Vec::new(), 7));

    let wrong = ListStuckRequest { severity: 99, ..Default::default() };
    assert_eq!(code(management.list_stuck(wrong).await), Code::InvalidArgument);
    let foreign = ListStuckRequest { continuation_token: Some("x".to_owned()), ..Default::default() };
    assert_eq!(code(management.list_stuck(foreign).await), Code::InvalidArgument);
}
