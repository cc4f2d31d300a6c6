//! Threads and sockets: one thread accepts and answers operators, the others answer requests.

pub(crate) mod connection;
pub(crate) mod listener;
pub(crate) mod thread;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use self::thread::ThreadHandle;
use crate::metrics::Metrics;
use crate::service::drain::DrainSignal;

/// Time to wait when the system refuses to accept, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections and gives each to the thread with the fewest, until draining begins.
pub(crate) async fn accept(
    listener: TcpListener,
    mut threads: Vec<ThreadHandle>,
    metrics: Arc<Metrics>,
    most: usize,
    drain: DrainSignal,
) {
    let mut draining = drain.wait();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut draining => return,
        };
        let stream = match accepted.and_then(|(stream, _)| stream.into_std()) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if metrics.connections.get() >= most as u64 {
            metrics.connections_refused.add(1);
            continue;
        }
        let least = threads.iter().enumerate().min_by_key(|(_, thread)| thread.connections());
        let Some((at, thread)) = least else { return };
        if !thread.serve(stream, metrics.clone()) {
            tracing::error!("a request thread has ended; the others go on");
            threads.swap_remove(at);
        }
    }
}
