//! The control thread: bound sockets, accepting, the admin service, probes.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;

use pdp_proto::v1::admin_service_server::AdminServiceServer;
use prost::Message;
use prost_types::FileDescriptorSet;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tonic::service::Routes;

use super::{Addresses, StartError};
use crate::config::Listeners;
use crate::http::{self, Probes};
use crate::reload::Reloader;
use crate::runtime;
use crate::runtime::listener::{BindError, bind};
use crate::runtime::thread::ThreadHandle;
use crate::service::admin::Admin;
use crate::service::drain::DrainSignal;
use crate::service::standard::{self, Health};
use crate::state;

/// Bound sockets.
pub(super) struct Sockets {
    decision: TcpListener,
    admin: Option<TcpListener>,
    http: Option<TcpListener>,
}

impl Sockets {
    pub(super) fn bind(listeners: &Listeners) -> Result<Self, BindError> {
        Ok(Self {
            decision: bind("listen", listeners.decision)?,
            admin: listeners.admin.map(|address| bind("admin_listen", address)).transpose()?,
            http: listeners.http.map(|address| bind("http_listen", address)).transpose()?,
        })
    }

    pub(super) fn addresses(&self) -> std::io::Result<Addresses> {
        Ok(Addresses {
            decision: self.decision.local_addr()?,
            admin: self.admin.as_ref().map(TcpListener::local_addr).transpose()?,
            http: self.http.as_ref().map(TcpListener::local_addr).transpose()?,
        })
    }
}

/// The thread that accepts connections and serves operators.
pub(super) struct Control {
    pub(super) sockets: Sockets,
    pub(super) threads: Vec<ThreadHandle>,
    pub(super) probes: Probes,
    pub(super) signal: DrainSignal,
    pub(super) health: Health,
    pub(super) most_connections: usize,
}

/// The control thread, once it runs.
pub(super) struct Started {
    /// Its runtime.
    pub(super) handle: Handle,
    /// The thread.
    pub(super) thread: JoinHandle<()>,
    /// Ends it.
    pub(super) stop: oneshot::Sender<()>,
}

impl Control {
    pub(super) fn start(self) -> Result<Started, StartError> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let entered = handle.enter();
        let metrics = self.probes.reloader.decider().metrics().clone();
        let decision = tokio::net::TcpListener::from_std(self.sockets.decision)?;
        runtime.spawn(runtime::accept(decision, self.threads, metrics, self.most_connections, self.signal));
        runtime.spawn(state::watch(self.probes.reloader.decider().store().clone()));
        if let Some(listener) = self.sockets.admin {
            let routes = admin_routes(self.probes.reloader.clone())?;
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
            let server = tonic::transport::Server::builder().add_routes(routes).serve_with_incoming(incoming);
            runtime.spawn(server);
        }
        if let Some(listener) = self.sockets.http {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let router = http::router(self.probes);
            runtime.spawn(async move { axum::serve(listener, router).await });
        }
        drop(entered);
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("pdp-control".to_owned()).spawn(move || {
            // Ends when told, or when the server that could tell is gone.
            let _ = runtime.block_on(stopped);
            // A reload that an operator asked for may still be building; the end does not wait for it.
            runtime.shutdown_background();
        })?;
        set_health(&handle, &self.health, true);
        Ok(Started { handle, thread, stop })
    }
}

/// Sets the health from any thread and waits until it is set. Not by `block_on`,
/// which a caller that is inside of a runtime of its own could not do.
pub(super) fn set_health(control: &Handle, health: &Health, serving: bool) {
    let (done, set) = std::sync::mpsc::channel::<()>();
    let health = health.clone();
    control.spawn(async move {
        health.set(serving).await;
        drop(done);
    });
    // Ends when the task does, however it does.
    let _ = set.recv();
}

fn admin_routes(reloader: Arc<Reloader>) -> Result<Routes, StartError> {
    let described = FileDescriptorSet::decode(pdp_proto::FILE_DESCRIPTOR_SET)
        .map_err(tonic_reflection::server::Error::from)?;
    let routes = Routes::new(AdminServiceServer::new(Admin { reloader }));
    Ok(standard::reflect(routes, &described, &[standard::ADMIN_SERVICE])?)
}
