//! A vendor's day with the crate keygen-rs: every step says on a line of JSON what came of it.
//!
//! `KEYGEN_API_URL` and `KEYGEN_ADMIN_TOKEN` say where and as whom. What is told is the same in
//! every run; ids, keys and times are only compared.

mod catalog;
mod licenses;
mod machines;
mod tokens;

use std::env;

use keygen_rs::config::{set_config, KeygenConfig};
use keygen_rs::errors::Error;
use serde_json::{json, Value};

/// Tell what came of a step.
pub fn tell(step: &str, outcome: Value) {
    println!("{}", json!({ "step": step, "outcome": outcome }));
}

/// What a refused call was refused with: the crate's kind and the server's code.
pub fn refusal<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => "not refused".to_string(),
        Err(error) => {
            let kind = error.api_error_kind();
            let first = error.api_error().and_then(|found| found.primary());
            match first.and_then(|found| found.code()) {
                Some(code) => format!("{kind:?} {code}"),
                None => format!("{error}"),
            }
        }
    }
}

/// How to reach the ledger without a credential.
pub fn stranger() -> KeygenConfig {
    KeygenConfig {
        api_url: env::var("KEYGEN_API_URL").expect("KEYGEN_API_URL"),
        account: "not sent with a URL of one's own".to_string(),
        ..KeygenConfig::default()
    }
}

/// How to reach the ledger with a token.
pub fn with_token(token: &str) -> KeygenConfig {
    KeygenConfig {
        token: Some(token.to_string()),
        ..stranger()
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    set_config(with_token(
        &env::var("KEYGEN_ADMIN_TOKEN").expect("KEYGEN_ADMIN_TOKEN"),
    ))?;
    let shelf = catalog::stock().await?;
    licenses::sell(&shelf).await?;
    machines::run(&shelf).await?;
    tokens::hand_out(&shelf).await?;
    catalog::clear(shelf).await
}
