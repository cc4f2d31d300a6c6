//! Top talkers, as an operator sees them.

use pdp_proto::v1 as proto;
use pdp_proto::v1::ErrorReason;
use pdp_proto::v1::admin_service_client::AdminServiceClient;
use tonic::transport::Channel;

use crate::support::{Running, channel, detail, spend, start};

async fn admin(running: &Running) -> AdminServiceClient<Channel> {
    AdminServiceClient::new(channel(running.server.addresses().admin.unwrap()).await)
}

fn of<'a>(top: &'a proto::GetTopTalkersResponse, kind: &str) -> Vec<(&'a str, u64, u64)> {
    let found = top.talkers.iter().filter(|talker| talker.kind == kind);
    found.map(|talker| (talker.name.as_str(), talker.requests, talker.refused)).collect()
}

#[tokio::test]
async fn who_asks_most_is_named_by_kind_over_all_threads() {
    let running = start();
    for (caller, times) in [("ada", 5), ("bob", 2)] {
        // A connection each, so that both request threads take part.
        let mut client = running.client().await;
        for _ in 0..times {
            let mut request = spend(caller, 1);
            request.tenant = "acme".to_owned();
            request.function = Some(proto::Function { id: format!("of-{caller}"), ..Default::default() });
            request.transport =
                Some(proto::Transport { source_ip: "192.0.2.7".to_owned(), ..Default::default() });
            client.check(request).await.unwrap();
        }
    }
    let mut admin = admin(&running).await;
    let top = admin.get_top_talkers(proto::GetTopTalkersRequest { most: 0 }).await.unwrap().into_inner();
    // Three of a window are admitted, so that two of ada's were refused.
    assert_eq!(of(&top, "tenant"), [("acme", 7, 2)]);
    assert_eq!(of(&top, "function"), [("of-ada", 5, 2), ("of-bob", 2, 0)]);
    assert_eq!(of(&top, "network"), [("192.0.2.0/24", 7, 2)]);
    let keys = [("notes.limits/per-caller ada", 5, 2), ("notes.limits/per-caller bob", 2, 0)];
    assert_eq!(of(&top, "limit_key"), keys);
    assert!(top.since.is_some() && top.talkers.iter().all(|talker| talker.error == 0));
    let first = admin.get_top_talkers(proto::GetTopTalkersRequest { most: 1 }).await.unwrap().into_inner();
    assert_eq!(first.talkers.len(), 4);
}

#[tokio::test]
async fn asking_for_too_many_is_refused_by_name() {
    let running = start();
    let request = proto::GetTopTalkersRequest { most: 101 };
    let status = admin(&running).await.get_top_talkers(request).await.unwrap_err();
    assert_eq!(
        (detail(&status).reason(), detail(&status).field),
        (ErrorReason::FieldOutOfRange, "most".to_owned())
    );
}
