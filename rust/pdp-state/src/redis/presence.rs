//! Tells the store that this node is there, counts the others, and agrees with them on the hash key.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use redis::{Value, from_redis_value_ref};
use rustls::crypto::ring;
use tokio::time::Instant;

use super::failure::Failure;
use super::link::Link;
use super::name::{NODES, Names, SALT, slot};
use super::store::Inner;

/// Time between two beats.
const BEAT: Duration = Duration::from_secs(1);
/// Silence after which a node counts as gone.
const GONE: Duration = Duration::from_secs(5);
/// How long the list of nodes outlives the last of them.
const NODES_TTL: Duration = Duration::from_secs(60);
/// How long the salt outlives the last node: longer than any counter.
const SALT_TTL: Duration = Duration::from_secs(400 * 86_400);

/// Beats until the store is dropped. The first beat is signalled.
pub(super) async fn run(
    inner: std::sync::Weak<Inner>,
    link: Arc<Link>,
    first: std::sync::mpsc::SyncSender<()>,
) {
    let node = uuid::Uuid::now_v7().to_string();
    let mut proposal = random();
    loop {
        let next = Instant::now() + BEAT;
        let Some(strong) = inner.upgrade() else { return };
        // A failure is noted where it happens; the last known count of nodes stays.
        if let Ok(Some(salt)) = beat(&strong, &link, &node, &proposal).await {
            proposal = salt;
        }
        drop(strong);
        // Nobody may be waiting.
        let _ = first.try_send(());
        tokio::time::sleep_until(next).await;
    }
}

async fn beat(
    inner: &Inner,
    link: &Arc<Link>,
    node: &str,
    proposal: &[u8],
) -> Result<Option<Vec<u8>>, Failure> {
    let deadline = Instant::now() + inner.hub.options.connect_timeout + inner.hub.options.timeout;
    let salt = agree(inner, link, proposal, deadline).await?;
    let place = slot(NODES.as_bytes());
    let time = link.command(place, &redis::cmd("TIME"), deadline).await?;
    if let Ok((seconds, micros)) = from_redis_value_ref::<(u64, u64)>(&time) {
        inner.hub.clock.told(seconds.saturating_mul(1_000_000).saturating_add(micros));
    }
    let now_us = inner.hub.clock.server_us(SystemTime::now());
    let gone_us = now_us.saturating_sub(u64::try_from(GONE.as_micros()).unwrap_or(0));
    let commands = [
        redis::cmd("ZADD").arg(NODES).arg(now_us).arg(node).clone(),
        redis::cmd("ZREMRANGEBYSCORE").arg(NODES).arg("-inf").arg(gone_us).clone(),
        redis::cmd("PEXPIRE").arg(NODES).arg(millis(NODES_TTL)).clone(),
        redis::cmd("ZCARD").arg(NODES).clone(),
    ];
    let answers = link.pipeline(place, &commands, deadline).await?;
    if let Some(nodes) = answers.last().and_then(|nodes| from_redis_value_ref::<u32>(nodes).ok()) {
        inner.local.set_nodes(nodes);
    }
    Ok(salt)
}

/// Agrees on the salt where no secret is configured: the first proposal stays.
async fn agree(
    inner: &Inner,
    link: &Arc<Link>,
    proposal: &[u8],
    deadline: Instant,
) -> Result<Option<Vec<u8>>, Failure> {
    if inner.hub.options.key_secret.is_some() {
        return Ok(None);
    }
    let commands = [
        redis::cmd("SET").arg(SALT).arg(proposal).arg("NX").arg("PX").arg(millis(SALT_TTL)).clone(),
        redis::cmd("PEXPIRE").arg(SALT).arg(millis(SALT_TTL)).clone(),
        redis::cmd("GET").arg(SALT).clone(),
    ];
    let answers = link.pipeline(slot(SALT.as_bytes()), &commands, deadline).await?;
    let Some(Value::BulkString(salt)) = answers.last() else {
        return Err(Failure::protocol(format!("`{SALT}` is no string")));
    };
    // After a flush another node may have been first: its salt is the one.
    if inner.names.load().is_none() || *salt != proposal {
        inner.names.store(Some(Arc::new(Names::new(salt))));
    }
    Ok(Some(salt.clone()))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Bytes that nobody guesses.
fn random() -> Vec<u8> {
    let mut bytes = [0u8; 32];
    if ring::default_provider().secure_random.fill(&mut bytes).is_err() {
        tracing::error!("the system gives no randomness; set `key_secret`");
    }
    bytes.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}
