//! Unary gRPC straight on HTTP/2, so that the generator costs less than what it measures.

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use h2::RecvStream;
use h2::client::SendRequest;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE};
use http::{Method, Request, Version};
use tokio::net::TcpStream;

use crate::drive::Caller;
use crate::error::LoadError;
use crate::record::Record;

/// Windows large enough that flow control never holds an answer back.
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 1 << 30;

/// Length of the prefix of a gRPC message: a flag and a length.
pub(crate) const PREFIX: usize = 5;

/// One connection.
pub(crate) struct GrpcConnection {
    send: SendRequest<Bytes>,
    request: Request<()>,
}

impl GrpcConnection {
    pub(crate) async fn connect(address: SocketAddr, path: &str) -> Result<Self, LoadError> {
        let (send, request) = open(address, path).await?;
        Ok(Self { send, request })
    }
}

impl Caller for GrpcConnection {
    /// `record.body` is a message with its prefix.
    async fn call(&self, index: usize, record: &Record) -> Result<(), LoadError> {
        let mut send = self.send.clone().ready().await?;
        let (response, mut stream) = send.send_request(self.request.clone(), false)?;
        stream.send_data(record.body.clone(), true)?;
        let (head, mut body) = response.await?.into_parts();
        check_status(index, &head.headers, head.status.is_success())?;
        let answer = collect(&mut body).await?;
        if let Some(trailers) = body.trailers().await? {
            check_status(index, &trailers, true)?;
        }
        let message = answer.get(PREFIX..).ok_or_else(|| LoadError::WrongAnswer {
            request: index,
            reason: "the answer holds no message".to_owned(),
        })?;
        record.expectation.verify(message).map_err(|reason| LoadError::WrongAnswer { request: index, reason })
    }
}

/// Connects and prepares the head of each request.
pub(crate) async fn open(
    address: SocketAddr,
    path: &str,
) -> Result<(SendRequest<Bytes>, Request<()>), LoadError> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let (send, connection) = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .enable_push(false)
        .handshake::<_, Bytes>(tcp)
        .await?;
    // A failed connection fails the requests on it, so its own result is not needed.
    tokio::task::spawn_local(connection);
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = format!("http://{address}{path}")
        .parse()
        .map_err(|error| LoadError::Config(format!("target.path: {error}")))?;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    Ok((send, request))
}

/// Puts the prefix before a message.
pub(crate) fn frame(message: &[u8]) -> Result<Bytes, LoadError> {
    let length = u32::try_from(message.len())
        .map_err(|_| LoadError::Requests("a request exceeds 4 GiB".to_owned()))?;
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(length);
    framed.put_slice(message);
    Ok(framed.freeze())
}

/// Fails unless `grpc-status` is absent or 0.
pub(crate) fn check_status(index: usize, headers: &HeaderMap, success: bool) -> Result<(), LoadError> {
    let text = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    match text("grpc-status") {
        Some(status) if status != "0" => Err(LoadError::Status {
            request: index,
            status,
            message: text("grpc-message").unwrap_or_default(),
        }),
        _ if !success => Err(LoadError::Transport("the answer is not a gRPC answer".to_owned())),
        _ => Ok(()),
    }
}

/// Reads a body whole; the usual single chunk is not copied.
async fn collect(body: &mut RecvStream) -> Result<Bytes, LoadError> {
    let mut whole = Bytes::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        if whole.is_empty() {
            whole = chunk;
        } else {
            let mut joined = BytesMut::with_capacity(whole.len() + chunk.len());
            joined.put_slice(&whole);
            joined.put_slice(&chunk);
            whole = joined.freeze();
        }
    }
    Ok(whole)
}
