//! A license's life, as back office and support see it.

use std::collections::HashMap;

use chrono::{Duration, Utc};
use keygen_rs::errors::Error;
use keygen_rs::license::{
    License, LicenseCreateRequest, LicenseListOptions, LicenseUpdateRequest,
    LicenseValidationRequest, LicenseValidationScope,
};
use serde_json::{json, Value};

use crate::catalog::Shelf;
use crate::{refusal, stranger, tell};

pub async fn sell(shelf: &Shelf) -> Result<(), Error> {
    let license = issue(shelf).await?;
    let license = change(license).await?;
    stop_and_go(&license).await?;
    renew_and_check_in(&license).await?;
    count(&license).await?;
    entitle(shelf, &license).await?;
    transfer(shelf, &license).await?;
    list(shelf).await?;
    end(license).await
}

async fn issue(shelf: &Shelf) -> Result<License, Error> {
    let request = || {
        LicenseCreateRequest::new(shelf.policy.id.clone())
            .with_key("ACME-2030-0001".to_string())
            .with_name("ACME".to_string())
            .with_metadata(HashMap::from([("order".to_string(), json!(4711))]))
    };
    let made = License::create(request()).await?;
    tell(
        "license.create",
        json!([
            made.name,
            made.status,
            made.max_machines,
            made.metadata.get("order")
        ]),
    );
    let own = made.policy == Some(shelf.policy.id.clone())
        && made.product_id == Some(shelf.product.id.clone());
    tell("license.relationships", json!(own));
    tell(
        "license.create.again",
        json!(refusal(License::create(request()).await)),
    );
    let nowhere = LicenseCreateRequest::new(shelf.product.id.clone());
    tell(
        "license.create.no-policy",
        json!(refusal(License::create(nowhere).await)),
    );
    let by_id = License::get(&made.id).await?;
    let by_key = License::get(&made.key).await?;
    tell(
        "license.get",
        json!(by_id.key == made.key && by_key.id == made.id),
    );
    Ok(made)
}

async fn change(license: License) -> Result<License, Error> {
    let expiry = Utc::now() + Duration::days(10);
    let request = LicenseUpdateRequest::new()
        .with_name("ACME Ltd".to_string())
        .with_expiry(expiry)
        .with_metadata(HashMap::from([("tier".to_string(), json!("gold"))]));
    let changed = license.update(request).await?;
    // The ledger keeps milliseconds.
    let same = changed.expiry.map(|at| (at - expiry).num_milliseconds()) == Some(0);
    tell(
        "license.update",
        json!([changed.name, changed.metadata, same]),
    );
    let cleared = license
        .update(LicenseUpdateRequest::new().clear_name())
        .await?;
    tell("license.update.clear", json!(cleared.name));
    Ok(changed)
}

async fn stop_and_go(license: &License) -> Result<(), Error> {
    let stopped = license.suspend().await?;
    tell(
        "license.suspend",
        json!([stopped.status, stopped.suspended]),
    );
    tell("license.suspend.check", check(license).await?);
    tell(
        "license.suspend.again",
        json!(refusal(license.suspend().await)),
    );
    let again = license.reinstate().await?;
    tell("license.reinstate", json!([again.status, again.suspended]));
    tell("license.reinstate.check", check(license).await?);
    Ok(())
}

async fn renew_and_check_in(license: &License) -> Result<(), Error> {
    let renewed = license.renew().await?;
    let days = renewed
        .expiry
        .zip(license.expiry)
        .map(|(after, before)| (after - before).num_days());
    tell("license.renew", json!(days));
    let seen = license.check_in().await?;
    tell(
        "license.check-in",
        json!([seen.last_check_in.is_some(), seen.next_check_in.is_some()]),
    );
    Ok(())
}

async fn count(license: &License) -> Result<(), Error> {
    tell(
        "license.uses.increment",
        json!(license.increment_usage(Some(2)).await?.uses),
    );
    let over = refusal(license.increment_usage(Some(2)).await);
    tell("license.uses.over", json!(over));
    tell(
        "license.uses.decrement",
        json!(license.decrement_usage(None).await?.uses),
    );
    let below = refusal(license.decrement_usage(Some(2)).await);
    tell("license.uses.below", json!(below));
    tell(
        "license.uses.reset",
        json!(license.reset_usage().await?.uses),
    );
    Ok(())
}

async fn entitle(shelf: &Shelf, license: &License) -> Result<(), Error> {
    let scope = LicenseValidationScope {
        entitlements: Some(vec![shelf.entitlement.code.clone()]),
        ..Default::default()
    };
    let request = LicenseValidationRequest::new(scope);
    let without = license.validate(&request).await?.meta;
    tell("entitlements.missing", json!([without.valid, without.code]));
    let ids = [shelf.entitlement.id.clone()];
    license.attach_entitlements(&ids).await?;
    let attached = license.entitlements(None).await?.data;
    tell(
        "entitlements.attached",
        json!([attached.len(), attached[0].code]),
    );
    // The one machine that a strict license needs is still missing, so this is what is next.
    let with = license.validate(&request).await?.meta;
    tell(
        "entitlements.there",
        json!([with.code, with.scope.entitlements]),
    );
    license.detach_entitlements(&ids).await?;
    let left = license.entitlements(None).await?.data.len();
    tell("entitlements.detached", json!(left));
    Ok(())
}

async fn transfer(shelf: &Shelf, license: &License) -> Result<(), Error> {
    let moved = license.change_policy(&shelf.other_policy.id).await?;
    let there = moved.policy == Some(shelf.other_policy.id.clone());
    tell(
        "license.transfer",
        json!([there, moved.max_machines, moved.max_uses]),
    );
    let back = license.change_policy(&shelf.policy.id).await?;
    tell(
        "license.transfer.back",
        json!([back.max_machines, back.max_uses]),
    );
    Ok(())
}

async fn list(shelf: &Shelf) -> Result<(), Error> {
    for _ in 0..4 {
        License::create(LicenseCreateRequest::new(shelf.policy.id.clone())).await?;
    }
    let filtered = |page_cursor, page_size| LicenseListOptions {
        policy: Some(shelf.policy.id.clone()),
        page_cursor,
        page_size,
        ..Default::default()
    };
    let all = License::list(Some(&filtered(None, None))).await?.data;
    tell("license.list", json!([all.len(), all[4].key]));
    let mut paged = Vec::new();
    let mut pages = 0;
    let mut cursor = None;
    loop {
        let page = License::list(Some(&filtered(cursor, Some(2)))).await?;
        pages += 1;
        cursor = page.next_cursor();
        paged.extend(page.data.into_iter().map(|license| license.id));
        if cursor.is_none() {
            break;
        }
    }
    let same = paged == all.iter().map(|each| each.id.clone()).collect::<Vec<_>>();
    tell("license.list.pages", json!([pages, same]));
    let mut suspended = filtered(None, None);
    suspended.status = Some("SUSPENDED".to_string());
    tell(
        "license.list.status",
        json!(License::list(Some(&suspended)).await?.data.len()),
    );
    let mut gold = filtered(None, None);
    gold.metadata = Some(HashMap::from([("tier".to_string(), json!("gold"))]));
    tell(
        "license.list.metadata",
        json!(License::list(Some(&gold)).await?.data.len()),
    );
    for license in all.iter().filter(|each| each.key != "ACME-2030-0001") {
        license.delete().await?;
    }
    tell(
        "license.delete",
        json!(refusal(License::get(&all[0].id).await)),
    );
    Ok(())
}

async fn end(license: License) -> Result<(), Error> {
    license.revoke().await?;
    tell(
        "license.revoke",
        json!(refusal(License::get(&license.id).await)),
    );
    tell("license.revoke.check", check(&license).await?);
    tell(
        "license.revoke.again",
        json!(refusal(license.revoke().await)),
    );
    Ok(())
}

/// Check a key as anybody may, with a nonce.
async fn check(license: &License) -> Result<Value, Error> {
    let request = LicenseValidationRequest {
        nonce: Some(12),
        scope: LicenseValidationScope::default(),
    };
    let asked = License::from_key(&license.key).with_config(stranger());
    let found = asked.validate_key(&request).await?;
    Ok(json!([
        found.meta.valid,
        found.meta.code,
        found.meta.nonce,
        found.license.is_some()
    ]))
}
