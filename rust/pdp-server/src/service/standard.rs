//! The services every gRPC server has: health v1, reflection v1 and v1alpha.

use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tonic_reflection::server::{Builder, Error};

/// The public service's name.
pub(crate) const DECISION_SERVICE: &str = "pdp.v1.PolicyDecisionService";
/// The name of Envoy's rate limit service.
pub(crate) const RATE_LIMIT_SERVICE: &str = "envoy.service.ratelimit.v3.RateLimitService";
/// The admin service's name.
pub(crate) const ADMIN_SERVICE: &str = "pdp.v1.AdminService";
/// Files that only the admin listener describes.
const ADMIN_FILE: &str = "pdp/v1/admin.proto";

/// Says whether the decision point serves.
#[derive(Clone)]
pub(crate) struct Health(HealthReporter);

impl Health {
    /// Sets the status of the whole server and of its service.
    pub(crate) async fn set(&self, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for name in ["", DECISION_SERVICE, RATE_LIMIT_SERVICE] {
            self.0.set_service_status(name, status).await;
        }
    }
}

/// Health and reflection of the public listener, which does not speak of the admin service.
pub(crate) fn public() -> Result<(Health, Routes), Error> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let mut described = FileDescriptorSet::decode(pdp_proto::FILE_DESCRIPTOR_SET)?;
    described.file.retain(|file| file.name() != ADMIN_FILE);
    let envoy = FileDescriptorSet::decode(pdp_proto::ENVOY_DESCRIPTOR_SET)?;
    // Both sets hold the well-known types, which may be described once.
    let new = |file: &FileDescriptorProto| described.file.iter().all(|known| known.name() != file.name());
    let added: Vec<_> = envoy.file.into_iter().filter(new).collect();
    described.file.extend(added);
    let names = [DECISION_SERVICE, RATE_LIMIT_SERVICE, "grpc.health.v1.Health"];
    let routes = reflect(Routes::new(health), &described, &names)?;
    Ok((Health(reporter), routes.prepare()))
}

/// Adds reflection of both versions.
pub(crate) fn reflect(
    routes: Routes,
    described: &FileDescriptorSet,
    names: &[&str],
) -> Result<Routes, Error> {
    let builder = || {
        let builder = Builder::configure()
            .register_file_descriptor_set(described.clone())
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        names.iter().fold(builder, |builder, name| builder.with_service_name(*name))
    };
    let v1 = builder().register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET);
    let v1 = v1.with_service_name("grpc.reflection.v1.ServerReflection").build_v1()?;
    let alpha =
        builder().register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET);
    let alpha = alpha.with_service_name("grpc.reflection.v1alpha.ServerReflection").build_v1alpha()?;
    Ok(routes.add_service(v1).add_service(alpha))
}
