//! Each question end to end.

use pdp_proto::v1 as proto;
use pdp_proto::v1::{Effect, Question, ReasonCode};

use crate::support::{access, codes, effect, egress, named, spend, start};

#[tokio::test]
async fn access_is_allowed_with_reason_policy_and_revision() {
    let running = start();
    let answer = running.client().await.check(named("r-1", access())).await.unwrap().into_inner();
    let decision = answer.decision.as_ref().unwrap();
    assert_eq!((answer.request_id.as_str(), effect(&answer)), ("r-1", Effect::Allow));
    let reason = &decision.verdicts[0].reasons[0];
    assert_eq!((reason.code(), reason.policy_id.as_str()), (ReasonCode::PolicyAllow, "notes.access"));
    assert_eq!(
        decision.policy_revision,
        running.server.reloader().decider().active().set.revision().to_string()
    );
    assert_eq!(uuid::Uuid::parse_str(&decision.decision_id).unwrap().get_version_num(), 7);
    assert_eq!(decision.cacheable_for.as_ref().unwrap().seconds, 30);
}

#[tokio::test]
async fn access_is_denied_with_the_policy_s_own_code() {
    let running = start();
    let mut request = access();
    request.device = Some(proto::Device { compliant: Some(false), ..Default::default() });
    let answer = running.client().await.check(request).await.unwrap().into_inner();
    let reason = &answer.decision.as_ref().unwrap().verdicts[0].reasons[0];
    assert_eq!(effect(&answer), Effect::Deny);
    assert_eq!(
        (reason.code(), reason.detail_code.as_str()),
        (ReasonCode::PolicyDeny, "device_not_compliant")
    );
}

#[tokio::test]
async fn resource_without_a_policy_is_denied_by_default() {
    let running = start();
    let mut request = access();
    request.resource.as_mut().unwrap().id = "/elsewhere".to_owned();
    let answer = running.client().await.check(request).await.unwrap().into_inner();
    assert_eq!(codes(&answer.decision.unwrap()), [ReasonCode::DefaultDeny]);
}

#[tokio::test]
async fn segmentation_follows_roles() {
    let running = start();
    let mut client = running.client().await;
    let request = |role: &str| proto::CheckRequest {
        questions: vec![Question::Segmentation.into()],
        function: Some(proto::Function {
            id: "notes-writer".to_owned(),
            roles: vec![role.to_owned()],
            ..Default::default()
        }),
        destination: Some(proto::Destination {
            id: "notes-table".to_owned(),
            port: 443,
            ..Default::default()
        }),
        ..Default::default()
    };
    assert_eq!(effect(client.check(request("writer")).await.unwrap().get_ref()), Effect::Allow);
    assert_eq!(effect(client.check(request("reader")).await.unwrap().get_ref()), Effect::Deny);
}

#[tokio::test]
async fn egress_masks_a_card_number() {
    let running = start();
    let text = "card 4111 1111 1111 1111 paid";
    let answer = running.client().await.check(egress(text)).await.unwrap().into_inner();
    let decision = answer.decision.as_ref().unwrap();
    assert_eq!(effect(&answer), Effect::Allow, "{decision:?}");
    assert_eq!((decision.findings[0].start, decision.findings[0].end), (5, 24));
    let masked = String::from_utf8(decision.masked_payload.as_ref().unwrap().to_vec()).unwrap();
    assert!(masked.starts_with("card ") && !masked.contains("4111 1111"), "{masked}");
}

#[tokio::test]
async fn rate_limit_admits_up_to_its_limit_and_says_what_is_left() {
    let running = start();
    let mut client = running.client().await;
    let first = client.check(spend("ada", 2)).await.unwrap().into_inner();
    assert_eq!(effect(&first), Effect::Allow);
    assert_eq!(first.decision.unwrap().limits[0].remaining, 1);
    let second = client.check(spend("ada", 2)).await.unwrap().into_inner();
    let limit = &second.decision.as_ref().unwrap().limits[0];
    assert_eq!((effect(&second), limit.admitted), (Effect::Deny, false));
    assert!(limit.retry_after.is_some());
    assert_eq!(effect(client.check(spend("bob", 2)).await.unwrap().get_ref()), Effect::Allow);
}

#[tokio::test]
async fn same_request_id_spends_once_on_every_thread() {
    let running = start();
    for _ in 0..6 {
        let answer = running.client().await.check(named("once", spend("ada", 1))).await.unwrap().into_inner();
        assert_eq!(answer.decision.unwrap().limits[0].remaining, 2);
    }
}

#[tokio::test]
async fn several_questions_are_one_decision_and_a_denial_stops_the_rest() {
    let running = start();
    let mut request = access();
    request.questions.push(Question::RateLimit.into());
    request.limit = spend("ada", 4).limit;
    let answer = running.client().await.check(request).await.unwrap().into_inner();
    let verdicts = &answer.decision.as_ref().unwrap().verdicts;
    assert_eq!(effect(&answer), Effect::Deny);
    assert_eq!((verdicts[0].question(), verdicts[0].evaluated), (Question::RateLimit, true));
    assert_eq!((verdicts[1].question(), verdicts[1].evaluated), (Question::Access, false));
}

#[tokio::test]
async fn policy_that_loops_is_denied_within_its_budget() {
    let running = start();
    let mut request = access();
    request.resource.as_mut().unwrap().id = "/loop".to_owned();
    let answer = running.client().await.check(request).await.unwrap().into_inner();
    let code = codes(answer.decision.as_ref().unwrap())[0];
    let budgets =
        [ReasonCode::PolicyTimeout, ReasonCode::PolicyInstructionLimit, ReasonCode::PolicyMemoryLimit];
    assert!(budgets.contains(&code), "{code:?}");
    running.assert_lives().await;
}

#[tokio::test]
async fn memoised_answer_explains_itself_alike() {
    let running = start();
    let mut client = running.client().await;
    let first = client.check(access()).await.unwrap().into_inner().decision.unwrap();
    let second = client.check(access()).await.unwrap().into_inner().decision.unwrap();
    assert!(!first.memoised && second.memoised);
    assert_eq!(first.verdicts, second.verdicts);
    assert!(first.decision_id < second.decision_id);
}
