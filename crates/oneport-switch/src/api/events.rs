//! `/v1/events`: what happens, as it happens (server-sent events).

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use serde::{Deserialize, Serialize};
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_stream::{Stream, StreamExt};
use utoipa::{IntoParams, ToSchema};

use super::Shared;
use super::asker::Asker;
use super::error::{Problem, Refused};
use super::extract::Ask;
use crate::news::News;

/// A line that says nothing comes so often, so that the connection is seen to live.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Which events.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EventQuery {
    /// Only events of these kinds, separated by commas: `call_begun`, `call_ringing`,
    /// `call_answered`, `call_transcoded`, `call_choppy`, `conference_talker`, `call_one_way`,
    /// `call_both_ways`, `call_ended`, `refused`, `registration`, `registration_elsewhere`, `limit`, `overload`,
    /// `radio_keyed`, `radio_links`, `radio_text`, `peer`.
    kinds: Option<String>,
}

/// A listener was too slow.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Missed {
    /// How many events it has not got.
    missed: u64,
}

/// What happens from now on: each event has its kind as `event`, its number as `id` and a JSON object
/// as `data`. Who does not fetch them in time gets an event `missed` that says how many are lost.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "switch",
    params(EventQuery),
    security(("token" = ["viewer"])),
    responses(
        (status = 200, description = "Events without end", body = News, content_type = "text/event-stream"),
        (status = 503, description = "Too many listen already", body = Refused),
    )
)]
pub(super) async fn events(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    Ask(query): Ask<EventQuery>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let Ok(place) = shared.listeners.clone().try_acquire_owned() else {
        return Err(Problem::unavailable("as many listen to events as may"));
    };
    let receiver = shared.ask(|_, switch, _| switch.news()).await?;
    let kinds: Option<Vec<String>> =
        query.kinds.map(|kinds| kinds.split(',').map(|kind| kind.trim().to_string()).collect());
    let tokens = shared.tokens.clone();
    let over = async move { asker.asks_no_more(&tokens).await };
    let events = BroadcastStream::new(receiver).filter_map(move |received| {
        // It holds its place as long as it listens.
        let _ = &place;
        match received {
            Ok(news) => {
                let wanted = kinds
                    .as_ref()
                    .is_none_or(|kinds| kinds.iter().any(|kind| kind == news.what.name()));
                wanted.then(|| {
                    let event = Event::default().event(news.what.name());
                    event.id(news.number.to_string()).json_data(&*news)
                })
            }
            Err(BroadcastStreamRecvError::Lagged(missed)) => {
                shared.missed.fetch_add(missed, Ordering::Relaxed);
                Some(Event::default().event("missed").json_data(Missed { missed }))
            }
        }
    });
    // What cannot be put into JSON is not told; nothing here is of that kind.
    let events = events.filter_map(Result::ok).map(Ok);
    // Whoever may ask no more hears no more, whether anything happens or not.
    let events = futures_util::StreamExt::take_until(events, over);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}
