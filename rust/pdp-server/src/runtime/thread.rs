//! A request thread: its own single-threaded runtime, its own connections, its own worker.

use std::io;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use pdp_engine::PolicySet;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

use super::connection::{ConnectionGuard, ConnectionOptions, serve};

/// Stack of a request thread, in bytes; engines recurse as deep as values and policies nest.
const STACK: usize = 16 << 20;

/// What a request thread is told.
enum Command {
    /// Serve a connection.
    Serve(TcpStream, ConnectionGuard),
    /// Get ready for a set, then say so.
    Warm(Arc<PolicySet>, mpsc::Sender<()>),
    /// Take nothing more, and end when all is answered or at this time.
    Drain(Instant),
}

/// Speaks to a request thread; cheap to clone.
#[derive(Clone)]
pub(crate) struct ThreadHandle {
    commands: UnboundedSender<Command>,
    connections: Arc<AtomicUsize>,
}

impl ThreadHandle {
    /// Connections that the thread serves.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Hands a connection over; false when the thread has ended.
    pub(crate) fn serve(&self, stream: TcpStream, metrics: Arc<crate::metrics::Metrics>) -> bool {
        let guard = ConnectionGuard::new(self.connections.clone(), metrics);
        self.commands.send(Command::Serve(stream, guard)).is_ok()
    }

    /// Asks the thread to get ready for `set`; `done` hears of it.
    pub(crate) fn warm(&self, set: Arc<PolicySet>, done: mpsc::Sender<()>) {
        let _ = self.commands.send(Command::Warm(set, done));
    }

    /// Asks the thread to end by `until`.
    pub(crate) fn drain(&self, until: Instant) {
        let _ = self.commands.send(Command::Drain(until));
    }
}

/// Starts request thread `number`. The thread's result says whether every call was answered.
pub(crate) fn start(
    number: usize,
    options: ConnectionOptions,
) -> io::Result<(ThreadHandle, JoinHandle<bool>)> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (commands, received) = unbounded_channel();
    let name = format!("pdp-request-{number}");
    let builder = std::thread::Builder::new().name(name).stack_size(STACK);
    let thread = builder.spawn(move || run(&runtime, received, options))?;
    Ok((ThreadHandle { commands, connections: Arc::default() }, thread))
}

fn run(runtime: &Runtime, mut commands: UnboundedReceiver<Command>, mut options: ConnectionOptions) -> bool {
    let local = LocalSet::new();
    let (admission, load) = options.service.admission.for_thread();
    options.service.admission = admission;
    let options = Rc::new(options);
    local.spawn_local(async move { load.probe().await });
    local.block_on(runtime, async move {
        let mut connections = JoinSet::new();
        let until = loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Serve(stream, guard)) => {
                        connections.spawn_local(serve(stream, options.clone(), guard));
                    }
                    Some(Command::Warm(set, done)) => {
                        let decider = options.service.decider.clone();
                        connections.spawn_local(async move {
                            decider.warm(set, async || tokio::task::yield_now().await).await;
                            let _ = done.send(());
                        });
                    }
                    Some(Command::Drain(until)) => break until,
                    None => break Instant::now(),
                },
                Some(_) = connections.join_next() => {}
            }
        };
        // Who waits for a command that nobody will read must not wait.
        drop(commands);
        let all_closed = async { while connections.join_next().await.is_some() {} };
        tokio::time::timeout_at(until, all_closed).await.is_ok()
    })
}
