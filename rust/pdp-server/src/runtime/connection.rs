//! One connection: TLS where configured, then HTTP/2 until it closes or drains.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::config::ServerConfig;
use crate::metrics::Metrics;
use crate::service::DecisionService;

/// Time a peer may take to say its first word, and to finish the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes in flight per call and per connection; a 4 MiB payload takes a few round trips.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Bytes of one frame that a caller may send; large payloads come in fewer pieces.
const MAX_FRAME: u32 = 64 << 10;
/// Bytes of answers buffered per call before the transport stops asking for more.
const SEND_BUFFER: usize = 256 << 10;

/// How to serve connections. A request thread shares its own with its
/// connections by `Rc`, so that a call touches no counter of another thread.
#[derive(Clone)]
pub(crate) struct ConnectionOptions {
    pub(crate) service: DecisionService,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) http: http2::Builder<LocalExecutor>,
}

/// Runs a connection's calls on its own thread.
#[derive(Clone, Copy)]
pub(crate) struct LocalExecutor;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// Counts a connection while it is open.
pub(crate) struct ConnectionGuard {
    thread: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

impl ConnectionGuard {
    pub(crate) fn new(thread: Arc<AtomicUsize>, metrics: Arc<Metrics>) -> Self {
        thread.fetch_add(1, Ordering::Relaxed);
        metrics.connections.add(1);
        Self { thread, metrics }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.thread.fetch_sub(1, Ordering::Relaxed);
        self.metrics.connections.subtract(1);
    }
}

/// HTTP/2 with the configured limits.
pub(crate) fn http(config: &ServerConfig) -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_concurrent_streams(config.max_concurrent_streams)
        .max_header_list_size(config.max_header_bytes)
        .max_frame_size(MAX_FRAME)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(Duration::from_millis(config.keep_alive_interval_ms))
        .keep_alive_timeout(Duration::from_millis(config.keep_alive_timeout_ms));
    builder
}

/// Serves a connection to its end.
pub(crate) async fn serve(
    stream: std::net::TcpStream,
    options: Rc<ConnectionOptions>,
    guard: ConnectionGuard,
) {
    let refuse = |reason: &str| {
        guard.metrics.handshakes_failed.add(1);
        tracing::debug!(reason, "connection closed before its first call");
    };
    let Ok(stream) = stream.set_nodelay(true).and_then(|()| TcpStream::from_std(stream)) else { return };
    // A peer that says nothing must not hold a connection for ever.
    let drain = options.service.drain.clone();
    let first_word = async {
        tokio::select! {
            spoken = timeout(HANDSHAKE_TIMEOUT, stream.readable()) => matches!(spoken, Ok(Ok(()))),
            () = drain.wait() => false,
        }
    };
    if !first_word.await {
        return refuse("nothing was sent");
    }
    match &options.tls {
        None => serve_http(stream, &options).await,
        Some(acceptor) => match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => serve_http(stream, &options).await,
            Ok(Err(error)) => refuse(&error.to_string()),
            Err(_) => refuse("the TLS handshake took too long"),
        },
    }
}

async fn serve_http(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, options: &Rc<ConnectionOptions>) {
    let service = service_fn(|request| {
        let options = options.clone();
        // Now its headers are read; its turn comes when the thread has answered what came before.
        let arrived = Instant::now();
        async move { Ok::<_, std::convert::Infallible>(options.service.call(request, arrived).await) }
    });
    let connection = options.http.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = options.service.drain.wait() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "connection broken off");
    }
}
