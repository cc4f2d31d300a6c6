//! The messages inside a request: each bound where the contract documents it.

use std::net::IpAddr;
use std::sync::Arc;

use pdp_engine::{
    Behaviour, Destination, DestinationKind, Device, Facts, Function, HttpRequest, LimitSpend, Location,
    Payload, Resource, Subject, Text, Transport,
};
use pdp_policy::Float;
use pdp_proto::v1 as proto;
use pdp_proto::v1::ErrorReason;

use super::bounds::{attributes, invalid, labels, not_finite, optional, required, size, texts};
use super::request::context;
use crate::errors::InvalidRequest;

type Checked<T> = Result<T, InvalidRequest>;

/// No bound but the message's own.
const UNBOUNDED: usize = usize::MAX;

/// All that policies can see.
pub(super) fn facts(from: &proto::CheckRequest) -> Checked<Facts> {
    Ok(Facts {
        tenant: optional("tenant", &from.tenant, 256)?,
        action: optional("action", &from.action, 256)?,
        subject: from.subject.as_ref().map(subject).transpose()?,
        resource: from.resource.as_ref().map(resource).transpose()?,
        function: from.function.as_ref().map(function).transpose()?,
        destination: from.destination.as_ref().map(destination).transpose()?,
        transport: from.transport.as_ref().map(transport).transpose()?,
        http: from.http.as_ref().map(http).transpose()?,
        payload: from.payload.as_ref().map(payload).transpose()?,
        limit: from.limit.as_ref().map(limit).transpose()?.unwrap_or_default(),
        device: from.device.as_ref().map(device).transpose()?,
        location: from.location.as_ref().map(location).transpose()?,
        behaviour: from.behaviour.as_ref().map(behaviour).transpose()?,
        context: context(from)?,
    })
}

fn subject(from: &proto::Subject) -> Checked<Subject> {
    Ok(Subject {
        id: required("subject.id", &from.id, 256)?,
        kind: optional("subject.type", &from.r#type, 64)?,
        roles: texts("subject.roles", &from.roles, 256)?,
        groups: texts("subject.groups", &from.groups, 256)?,
        authentication: optional("subject.authentication", &from.authentication, UNBOUNDED)?,
        attributes: attributes("subject.attributes", from.attributes.as_ref())?,
    })
}

fn resource(from: &proto::Resource) -> Checked<Resource> {
    Ok(Resource {
        id: required("resource.id", &from.id, 2_048)?,
        kind: optional("resource.type", &from.r#type, 256)?,
        owner: optional("resource.owner", &from.owner, 256)?,
        labels: labels("resource.labels", &from.labels, 128)?,
        attributes: attributes("resource.attributes", from.attributes.as_ref())?,
    })
}

fn function(from: &proto::Function) -> Checked<Function> {
    Ok(Function {
        id: required("function.id", &from.id, 256)?,
        labels: labels("function.labels", &from.labels, 128)?,
        roles: texts("function.roles", &from.roles, 256)?,
        environment: optional("function.environment", &from.environment, 64)?,
        version: optional("function.version", &from.version, 256)?,
        attributes: attributes("function.attributes", from.attributes.as_ref())?,
    })
}

fn destination(from: &proto::Destination) -> Checked<Destination> {
    let kind = match proto::DestinationKind::try_from(from.kind) {
        Ok(proto::DestinationKind::Unspecified) => None,
        Ok(proto::DestinationKind::Function) => Some(DestinationKind::Function),
        Ok(proto::DestinationKind::Service) => Some(DestinationKind::Service),
        Ok(proto::DestinationKind::External) => Some(DestinationKind::External),
        Err(_) => {
            let message = format!("`{}` is no kind of destination; 0 to 3 are", from.kind);
            return Err(invalid(ErrorReason::EnumUnknown, "destination.kind", message));
        }
    };
    let port = u16::try_from(from.port).map_err(|_| {
        let message = format!("`{}` is no port; write 1 to 65535, or 0 for unknown", from.port);
        invalid(ErrorReason::FieldOutOfRange, "destination.port", message)
    })?;
    Ok(Destination {
        id: required("destination.id", &from.id, 256)?,
        kind,
        host: optional("destination.host", &from.host, 256)?,
        port: (port != 0).then_some(port),
        labels: labels("destination.labels", &from.labels, 128)?,
        attributes: attributes("destination.attributes", from.attributes.as_ref())?,
    })
}

fn transport(from: &proto::Transport) -> Checked<Transport> {
    Ok(Transport {
        source_ip: source_ip(&from.source_ip)?,
        tls_version: optional("transport.tls_version", &from.tls_version, UNBOUNDED)?,
        tls_cipher: optional("transport.tls_cipher", &from.tls_cipher, UNBOUNDED)?,
        server_name: optional("transport.server_name", &from.server_name, UNBOUNDED)?,
        peer_identity: optional("transport.peer_identity", &from.peer_identity, UNBOUNDED)?,
        encrypted: from.encrypted,
    })
}

/// An address in its one written form; an IPv4 address written as IPv6 is
/// IPv4, else it would slip past a policy's address ranges.
fn source_ip(text: &str) -> Checked<Option<Text>> {
    if text.is_empty() {
        return Ok(None);
    }
    let address: IpAddr = text.parse().map_err(|_| {
        let message = "is no IPv4 or IPv6 address; write it without port, zone or brackets";
        invalid(ErrorReason::FieldMalformed, "transport.source_ip", message)
    })?;
    Ok(Some(Text::from(address.to_canonical().to_string())))
}

fn http(from: &proto::HttpRequest) -> Checked<HttpRequest> {
    let method = optional("http.method", &from.method, 32)?;
    if from.method.bytes().any(|byte| !byte.is_ascii_graphic() || byte.is_ascii_lowercase()) {
        let message = "is no upper-case HTTP method, such as `GET`";
        return Err(invalid(ErrorReason::FieldMalformed, "http.method", message));
    }
    if let Some(name) = from.headers.keys().find(|name| name.chars().any(char::is_uppercase)) {
        let message = "a header's name is lower-case";
        return Err(invalid(ErrorReason::FieldMalformed, format!("http.headers.{name}"), message));
    }
    size("http.headers", from.headers.iter().map(|(k, v)| k.len() + v.len()).sum(), 64 << 10)?;
    Ok(HttpRequest {
        method,
        path: optional("http.path", &from.path, 16_384)?,
        host: optional("http.host", &from.host, 256)?,
        headers: labels("http.headers", &from.headers, 256)?,
    })
}

fn payload(from: &proto::Payload) -> Checked<Payload> {
    size("payload.content", from.content.len(), 4 << 20)?;
    Ok(Payload {
        content: Arc::from(&*from.content),
        content_type: optional("payload.content_type", &from.content_type, 256)?,
    })
}

fn limit(from: &proto::LimitSpend) -> Checked<LimitSpend> {
    let hits = from.hits.unwrap_or(1);
    if !(1..=1_000_000_000).contains(&hits) {
        let message = format!("`{hits}` is no number of hits; write 1 to 1000000000");
        return Err(invalid(ErrorReason::FieldOutOfRange, "limit.hits", message));
    }
    let descriptors = labels("limit.descriptors", &from.descriptors, 64)?;
    Ok(LimitSpend { hits, descriptors, ..LimitSpend::default() })
}

fn device(from: &proto::Device) -> Checked<Device> {
    Ok(Device {
        id: optional("device.id", &from.id, 256)?,
        managed: from.managed,
        compliant: from.compliant,
        os: optional("device.os", &from.os, 64)?,
        os_version: optional("device.os_version", &from.os_version, 64)?,
        disk_encrypted: from.disk_encrypted,
        attributes: attributes("device.attributes", from.attributes.as_ref())?,
    })
}

fn location(from: &proto::Location) -> Checked<Location> {
    let country = optional("location.country", &from.country, UNBOUNDED)?;
    let alpha2 = from.country.len() == 2 && from.country.bytes().all(|byte| byte.is_ascii_uppercase());
    if country.is_some() && !alpha2 {
        let message = "is no ISO 3166-1 alpha-2 code in upper case, such as `DE`";
        return Err(invalid(ErrorReason::FieldMalformed, "location.country", message));
    }
    Ok(Location {
        country,
        region: optional("location.region", &from.region, 64)?,
        asn: (from.asn != 0).then_some(from.asn),
        anonymous: from.anonymous,
    })
}

fn behaviour(from: &proto::Behaviour) -> Checked<Behaviour> {
    let score = from.score.map(score).transpose()?;
    Ok(Behaviour { score, signals: texts("behaviour.signals", &from.signals, 64)? })
}

fn score(number: f64) -> Checked<Float> {
    let at = "behaviour.score";
    let float =
        Float::new(number).ok_or_else(|| invalid(ErrorReason::NumberNotFinite, at, not_finite(number)))?;
    if (0.0..=1.0).contains(&number) {
        return Ok(float);
    }
    Err(invalid(ErrorReason::FieldOutOfRange, at, format!("`{number}` is no score; write 0 to 1")))
}
