//! Tokens of a product and of a license: made, listed, used, regenerated, revoked.

use chrono::{Duration, Utc};
use keygen_rs::errors::Error;
use keygen_rs::license::{License, LicenseCreateRequest, LicenseTokenCreateRequest};
use keygen_rs::token::{CreateTokenRequest, ListTokensOptions, RegenerateTokenRequest, Token};
use keygen_rs::KeygenClient;
use serde_json::json;

use crate::catalog::Shelf;
use crate::{refusal, tell, with_token};

pub async fn hand_out(shelf: &Shelf) -> Result<(), Error> {
    of_the_product(shelf).await?;
    of_a_license(shelf).await
}

async fn of_the_product(shelf: &Shelf) -> Result<(), Error> {
    let made = shelf
        .product
        .generate_token_with_options(Some(CreateTokenRequest {
            name: Some("shop".to_string()),
            expiry: Some((Utc::now() + Duration::hours(1)).to_rfc3339()),
            ..Default::default()
        }))
        .await?;
    let secret = made
        .token
        .clone()
        .expect("a new token comes with its secret");
    tell(
        "token.create",
        json!([made.kind, made.name, made.is_expired()]),
    );
    tell("token.me", json!(whose(&secret).await?));

    let listed = Token::list(Some(ListTokensOptions {
        bearer_type: Some("products".to_string()),
        bearer_id: Some(shelf.product.id.clone()),
        ..Default::default()
    }))
    .await?;
    tell(
        "token.list",
        json!([listed.len(), listed[0].id == made.id, listed[0].token]),
    );
    let read = Token::get(&made.id).await?;
    tell("token.get", json!([read.name, read.token]));

    let request = RegenerateTokenRequest {
        name: None,
        expiry: None,
        permissions: None,
        metadata: None,
    };
    let fresh = read.regenerate(request).await?;
    let renewed = fresh
        .token
        .clone()
        .expect("so does one that was regenerated");
    tell(
        "token.regenerate",
        json!([fresh.id == made.id, renewed != secret]),
    );
    tell("token.regenerate.old", json!(refusal(whose(&secret).await)));
    tell("token.regenerate.new", json!(whose(&renewed).await?));
    fresh.revoke().await?;
    tell("token.revoke", json!(refusal(whose(&renewed).await)));
    tell("token.gone", json!(refusal(Token::get(&made.id).await)));
    Ok(())
}

async fn of_a_license(shelf: &Shelf) -> Result<(), Error> {
    let license = License::create(LicenseCreateRequest::new(shelf.policy.id.clone())).await?;
    let made = license
        .generate_token(Some(LicenseTokenCreateRequest {
            name: Some("holder".to_string()),
            ..Default::default()
        }))
        .await?;
    let secret = made
        .token
        .clone()
        .expect("a new token comes with its secret");
    tell("token.license", json!([made.kind, whose(&secret).await?]));
    let holder = KeygenClient::new(with_token(&secret))?;
    let own = holder.licenses().get(&license.id).await?;
    tell("token.license.reads", json!(own.id == license.id));
    let deletes = holder.licenses().delete(&license.id).await;
    tell("token.license.deletes", json!(refusal(deletes)));
    license.delete().await?;
    tell("token.license.gone", json!(refusal(whose(&secret).await)));
    Ok(())
}

/// Type of whom a token speaks for.
async fn whose(token: &str) -> Result<String, Error> {
    let me = KeygenClient::new(with_token(token))?
        .current_profile()
        .await?;
    Ok(me.bearer().resource_type().to_string())
}
