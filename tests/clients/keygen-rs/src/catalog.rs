//! Products, policies and entitlements: made, read, changed, listed, and deleted at the end.

use keygen_rs::entitlement::{CreateEntitlementRequest, Entitlement, UpdateEntitlementRequest};
use keygen_rs::errors::Error;
use keygen_rs::policy::{
    AuthenticationStrategy, CreatePolicyRequest, ExpirationStrategy, Policy, UpdatePolicyRequest,
};
use keygen_rs::product::{
    CreateProductRequest, DistributionStrategy, Platform, Product, UpdateProductRequest,
};
use keygen_rs::{service, ApiContractVersion, KeygenClient};
use serde_json::json;

use crate::{refusal, stranger, tell, with_token};

const YEAR_S: i64 = 365 * 24 * 3600;

/// What there is to sell.
pub struct Shelf {
    pub product: Product,
    pub policy: Policy,
    pub other_policy: Policy,
    pub entitlement: Entitlement,
}

pub async fn stock() -> Result<Shelf, Error> {
    greet().await?;
    let product = a_product().await?;
    let policy = a_policy(&product).await?;
    let other_policy = Policy::create(CreatePolicyRequest {
        name: "Bigger".to_string(),
        product_id: product.id.clone(),
        floating: Some(true),
        max_machines: Some(20),
        ..Default::default()
    })
    .await?;
    let entitlement = an_entitlement(&policy).await?;
    Ok(Shelf {
        product,
        policy,
        other_policy,
        entitlement,
    })
}

async fn greet() -> Result<(), Error> {
    let info = KeygenClient::new(stranger())?.service_info().await?;
    let supported = service::supports_api_contract(&info, ApiContractVersion::V1_8);
    tell("ping", json!([info.message, supported]));
    let me = KeygenClient::from_global_config()?
        .current_profile()
        .await?;
    tell(
        "me",
        json!([me.bearer().resource_type(), me.token().kind()]),
    );
    let wrong = KeygenClient::new(with_token("admin-of-nobody"))?;
    tell("me.wrong", json!(refusal(wrong.current_profile().await)));
    Ok(())
}

async fn a_product() -> Result<Product, Error> {
    let made = Product::create(CreateProductRequest {
        name: "Drawing board".to_string(),
        code: Some("drawing-board".to_string()),
        distribution_strategy: Some(DistributionStrategy::Licensed),
        url: Some("https://example.com/board".to_string()),
        platforms: Some(vec![Platform::Linux, Platform::MacOs]),
        permissions: None,
        metadata: None,
    })
    .await?;
    tell("product.create", json!([made.name, made.code, made.url]));
    let read = Product::get(&made.id).await?;
    tell("product.get", json!(read.id == made.id));
    let changed = read
        .update(UpdateProductRequest {
            name: Some("Drawing board 2".to_string()),
            code: None,
            distribution_strategy: Some(DistributionStrategy::Open),
            url: None,
            platforms: None,
            permissions: None,
            metadata: None,
        })
        .await?;
    tell("product.update", json!([changed.name, changed.code]));
    let listed = Product::list(None).await?;
    tell("product.list", json!(listed[0].id == made.id));
    Ok(changed)
}

async fn a_policy(product: &Product) -> Result<Policy, Error> {
    let made = Policy::create(CreatePolicyRequest {
        name: "Team".to_string(),
        product_id: product.id.clone(),
        duration: Some(YEAR_S),
        strict: Some(true),
        floating: Some(true),
        max_machines: Some(2),
        max_uses: Some(1),
        require_check_in: Some(true),
        check_in_interval: Some("day".to_string()),
        check_in_interval_count: Some(1),
        authentication_strategy: Some(AuthenticationStrategy::Mixed),
        expiration_strategy: Some(ExpirationStrategy::RestrictAccess),
        ..Default::default()
    })
    .await?;
    let read = Policy::get(&made.id).await?;
    tell(
        "policy.create",
        json!([read.name, read.duration, read.max_machines, read.strict]),
    );
    let changed = read
        .update(UpdatePolicyRequest {
            name: Some("Teams".to_string()),
            max_uses: Some(3),
            ..Default::default()
        })
        .await?;
    tell("policy.update", json!([changed.name, changed.max_uses]));
    let listed = Policy::list(None).await?;
    tell(
        "policy.list",
        json!([
            listed[0].id == made.id,
            listed[0].product_id == Some(product.id.clone())
        ]),
    );
    Ok(changed)
}

async fn an_entitlement(policy: &Policy) -> Result<Entitlement, Error> {
    let made = Entitlement::create(CreateEntitlementRequest {
        name: Some("Export".to_string()),
        code: "EXPORT".to_string(),
        metadata: None,
    })
    .await?;
    let changed = Entitlement::get(&made.id)
        .await?
        .update(UpdateEntitlementRequest {
            name: Some("Export as PDF".to_string()),
            code: None,
            metadata: None,
        })
        .await?;
    tell("entitlement.update", json!([changed.code, changed.name]));
    let listed = Entitlement::list(None).await?;
    tell("entitlement.list", json!(listed[0].id == made.id));
    let ids = [made.id.clone()];
    policy.attach_entitlements(&ids).await?;
    let attached = policy.entitlements(None).await?;
    tell("policy.entitlements", json!(attached[0].code));
    policy.detach_entitlements(&ids).await?;
    let left = policy.entitlements(None).await?;
    tell("policy.entitlements.detached", json!(left.len()));
    Ok(changed)
}

/// Nothing of it is left; what is still in use can't go.
pub async fn clear(shelf: Shelf) -> Result<(), Error> {
    tell(
        "product.delete.used",
        json!(refusal(shelf.product.delete().await)),
    );
    shelf.entitlement.delete().await?;
    shelf.policy.delete().await?;
    shelf.other_policy.delete().await?;
    shelf.product.delete().await?;
    tell(
        "policy.gone",
        json!(refusal(Policy::get(&shelf.policy.id).await)),
    );
    tell(
        "product.gone",
        json!(refusal(Product::get(&shelf.product.id).await)),
    );
    let entitlement = Entitlement::get(&shelf.entitlement.id).await;
    tell("entitlement.gone", json!(refusal(entitlement)));
    Ok(())
}
