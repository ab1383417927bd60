//! What requests say, read so that a mistake is answered in the API's own words.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::error::Problem;
use crate::switch::snapshot::Page;

/// Entries of a page where nobody says how many, and the most of them.
const USUAL_PAGE: usize = 100;
const GREATEST_PAGE: usize = 1_000;

/// What stands behind the question mark.
pub(super) struct Ask<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Ask<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        let wrong = |error: QueryRejection| Problem::wrong(error.body_text());
        query.map(|axum::extract::Query(query)| Self(query)).map_err(wrong)
    }
}

/// The body of a request, as JSON.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = axum::Json::from_request(request, state).await;
        let wrong = |error: JsonRejection| Problem::wrong(error.body_text());
        body.map(|axum::Json(body)| Self(body)).map_err(wrong)
    }
}

/// Which page of a list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// Where the page begins: `next` of the one before.
    after: Option<String>,
    /// How many entries at most: 100 where it is not said, 1,000 at most.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

impl PageQuery {
    fn limit(&self) -> Result<usize, Problem> {
        match self.limit.unwrap_or(USUAL_PAGE) {
            limit @ 1..=GREATEST_PAGE => Ok(limit),
            limit => Err(Problem::wrong(format!("limit is {limit}, and goes from 1 to 1000"))),
        }
    }

    /// A page of a list by name.
    pub(super) fn by_name(self) -> Result<Page<String>, Problem> {
        Ok(Page { limit: self.limit()?, after: self.after })
    }

    /// A page of a list in the order in which things began.
    pub(super) fn by_age(self) -> Result<Page<u64>, Problem> {
        let limit = self.limit()?;
        let number = |text: String| {
            text.parse().map_err(|_| Problem::wrong(format!("`{text}` is not `next` of a page")))
        };
        Ok(Page { limit, after: self.after.map(number).transpose()? })
    }
}
