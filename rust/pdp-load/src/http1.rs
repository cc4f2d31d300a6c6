//! HTTP/1.1 POST over a pool of connections that each carry one request at a time.

use std::cell::RefCell;
use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::drive::Caller;
use crate::error::LoadError;
use crate::record::Record;

/// Connections that are opened ahead of time, and more where all are busy.
pub(crate) struct HttpPool {
    address: SocketAddr,
    request: Request<()>,
    idle: RefCell<Vec<SendRequest<Full<Bytes>>>>,
}

impl HttpPool {
    pub(crate) async fn connect(address: SocketAddr, path: &str, size: usize) -> Result<Self, LoadError> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() =
            path.parse().map_err(|error| LoadError::Config(format!("target.path: {error}")))?;
        let host = HeaderValue::from_str(&address.to_string())
            .map_err(|error| LoadError::Config(format!("target.address: {error}")))?;
        request.headers_mut().insert(HOST, host);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut idle = Vec::with_capacity(size);
        for _ in 0..size {
            idle.push(open(address).await?);
        }
        Ok(Self { address, request, idle: RefCell::new(idle) })
    }
}

impl Caller for HttpPool {
    async fn call(&self, index: usize, record: &Record) -> Result<(), LoadError> {
        let kept = self.idle.borrow_mut().pop();
        let mut send = match kept {
            Some(send) => send,
            None => open(self.address).await?,
        };
        send.ready().await?;
        let request = self.request.clone().map(|()| Full::new(record.body.clone()));
        let (head, body) = send.send_request(request).await?.into_parts();
        let answer = body.collect().await?.to_bytes();
        self.idle.borrow_mut().push(send);
        if !head.status.is_success() {
            let message = String::from_utf8_lossy(&answer).into_owned();
            return Err(LoadError::Status {
                request: index,
                status: head.status.as_u16().to_string(),
                message,
            });
        }
        record.expectation.verify(&answer).map_err(|reason| LoadError::WrongAnswer { request: index, reason })
    }
}

async fn open(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, LoadError> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let (send, connection) = handshake(TokioIo::new(tcp)).await?;
    // A failed connection fails the request on it, so its own result is not needed.
    tokio::task::spawn_local(connection);
    Ok(send)
}
