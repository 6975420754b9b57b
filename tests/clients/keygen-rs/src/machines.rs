//! The vendor's software on its customers' machines, by license key; then the vendor's view.

use std::collections::HashMap;

use keygen_rs::config::KeygenConfig;
use keygen_rs::errors::Error;
use keygen_rs::license::{
    License, LicenseCreateRequest, LicenseValidationRequest, LicenseValidationResult,
};
use keygen_rs::machine::{Machine, MachineCreateRequest, MachineListFilters, MachineUpdateRequest};
use keygen_rs::validate_with_config;
use serde_json::json;

use crate::catalog::Shelf;
use crate::{refusal, stranger, tell};

const LAPTOP: &str = "4c:aa:16:b2";
const SERVER: &str = "build server/7";

pub async fn run(shelf: &Shelf) -> Result<(), Error> {
    let sold = License::create(LicenseCreateRequest::new(shelf.policy.id.clone())).await?;
    on_the_customers_side(shelf, &sold).await?;
    on_the_vendors_side(shelf, &sold).await?;
    sold.delete().await
}

async fn on_the_customers_side(shelf: &Shelf, sold: &License) -> Result<(), Error> {
    let config = KeygenConfig {
        product: shelf.product.id.clone(),
        license_key: Some(sold.key.clone()),
        platform: Some("linux/x86_64".to_string()),
        ..stranger()
    };
    let first = ask(&config, LAPTOP).await?;
    tell(
        "check.not-activated",
        json!([first.meta.valid, first.meta.code]),
    );
    let license = first
        .license
        .expect("a license comes with every check of a known key");

    let machine = license.activate(LAPTOP, &[]).await?;
    tell(
        "machine.activate",
        json!([machine.fingerprint, machine.platform]),
    );
    let now = ask(&config, LAPTOP).await?;
    tell("check.activated", json!([now.meta.valid, now.meta.code]));
    tell(
        "machine.activate.again",
        json!(refusal(license.activate(LAPTOP, &[]).await)),
    );
    license.activate(SERVER, &[]).await?;
    tell(
        "machine.activate.third",
        json!(refusal(license.activate("third", &[]).await)),
    );

    let own = license.machine(LAPTOP).await?;
    tell("machine.by-fingerprint", json!(own.id == machine.id));
    tell(
        "license.machines",
        json!(license.machines(None).await?.data.len()),
    );
    license.deactivate(LAPTOP).await?;
    tell(
        "machine.deactivate.again",
        json!(refusal(license.deactivate(LAPTOP).await)),
    );
    let after = ask(&config, LAPTOP).await?;
    tell(
        "check.deactivated",
        json!([after.meta.valid, after.meta.code]),
    );

    let wrong = KeygenConfig {
        product: shelf.policy.id.clone(),
        ..config.clone()
    };
    let elsewhere = ask(&wrong, SERVER).await?;
    tell("check.other-product", json!(elsewhere.meta.code));
    let unknown = KeygenConfig {
        license_key: Some("NOBODY-S-KEY".to_string()),
        ..config
    };
    tell(
        "check.unknown-key",
        json!(refusal(ask(&unknown, LAPTOP).await)),
    );
    Ok(())
}

async fn on_the_vendors_side(shelf: &Shelf, sold: &License) -> Result<(), Error> {
    let made = Machine::create(MachineCreateRequest {
        fingerprint: "9f:00:1d:77".to_string(),
        name: Some("Reception".to_string()),
        platform: Some("windows".to_string()),
        hostname: Some("front-1".to_string()),
        ip: Some("192.0.2.7".to_string()),
        cores: Some(4),
        metadata: Some(HashMap::from([("floor".to_string(), json!(2))])),
        license_id: sold.id.clone(),
    })
    .await?;
    tell(
        "machine.create",
        json!([made.name, made.ip, made.cores, made.metadata]),
    );
    tell(
        "machine.heartbeat",
        json!([made.require_heartbeat, made.heartbeat_status]),
    );
    let changed = Machine::get(&made.id)
        .await?
        .update(MachineUpdateRequest {
            name: Some("Reception, left".to_string()),
            platform: None,
            hostname: None,
            ip: None,
            cores: Some(8),
            metadata: None,
        })
        .await?;
    tell(
        "machine.update",
        json!([changed.name, changed.cores, changed.hostname]),
    );

    let by_license = MachineListFilters {
        license: Some(sold.id.clone()),
        ..Default::default()
    };
    tell("machine.list", json!(fingerprints(by_license).await?));
    let by_fingerprint = MachineListFilters {
        fingerprint: Some(SERVER.to_string()),
        policy: Some(shelf.policy.id.clone()),
        page_number: Some(1),
        page_size: Some(5),
        ..Default::default()
    };
    tell(
        "machine.list.fingerprint",
        json!(fingerprints(by_fingerprint).await?),
    );
    changed.deactivate().await?;
    tell("machine.gone", json!(refusal(Machine::get(&made.id).await)));
    Ok(())
}

async fn ask(config: &KeygenConfig, fingerprint: &str) -> Result<LicenseValidationResult, Error> {
    let request = LicenseValidationRequest::for_fingerprint(fingerprint.to_string());
    validate_with_config(config.clone(), &request).await
}

async fn fingerprints(filters: MachineListFilters) -> Result<Vec<String>, Error> {
    let listed = Machine::list(Some(filters)).await?;
    Ok(listed
        .into_iter()
        .map(|machine| machine.fingerprint)
        .collect())
}
