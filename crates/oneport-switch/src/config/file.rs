//! The keys of the file as they are written, and their check.
//!
//! The doc comment of a key is what docs/configuration.md and the JSON Schema say of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use oneport_proto::TokenRule;
use schemars::JsonSchema;
use serde::Deserialize;

use super::addresses::{AclKeys, read_acl, read_network};
use super::allstar::AllStarKeys;
use super::api::ApiKeys;
use super::cluster::ClusterKeys;
use super::error::{ConfigError, nearest};
use super::hep::HepKeys;
use super::hosts::{Hosts, KnownHosts};
use super::limits::LimitKeys;
use super::music::{MusicKeys, read_music};
use super::overload::OverloadKeys;
use super::peers::PeerKeys;
use super::profile::{Profile, quarantine};
use super::realtime::{PeerBasis, RealtimeKeys};
use super::registrations::RegistrationKeys;
use super::rooms::{ConferenceKeys, ParkingKeys, read_conferences, read_notice};
use super::routes::{Names, RouteKeys};
use super::server::{Audio, Guests, Server};
use super::sip::{CarrierKeys, SipKeys, read_carriers};
use super::source::{Beside, Source, help_for_syntax, help_for_type, in_plain_words};
use super::spanned::Spanned;
use super::store::StoreKeys;
use super::timers::Timers;
use super::traces::TracesKeys;
use super::{ClusterConfig, Config, StoreConfig};
use crate::cluster::SWITCH;
use crate::limits::LimitConfig;
use crate::routing::{DEFAULT_CONTEXT, Route};
use crate::sip::settings::CARRIER;

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) server: Server,
    timers: Timers,
    guests: Guests,
    audio: Audio,
    music: BTreeMap<Spanned<String>, MusicKeys>,
    conferences: BTreeMap<Spanned<String>, ConferenceKeys>,
    parking: ParkingKeys,
    allstar: AllStarKeys,
    store: StoreKeys,
    cluster: ClusterKeys,
    realtime: RealtimeKeys,
    hep: HepKeys,
    traces: TracesKeys,
    acls: BTreeMap<String, AclKeys>,
    /// Each by itself: there may be many thousands, and those that are through make room for what becomes of them.
    pub(super) peers: BTreeMap<Spanned<String>, Box<PeerKeys>>,
    pub(super) sip: SipKeys,
    pub(super) carriers: BTreeMap<Spanned<String>, CarrierKeys>,
    routes: Vec<RouteKeys>,
    limits: Vec<LimitKeys>,
    overload: OverloadKeys,
    registrations: Vec<RegistrationKeys>,
    api: ApiKeys,
}

impl File {
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            let message = in_plain_words(error.message());
            // toml says: unknown field `secrt`, expected one of `secret`, `secret_file`, …
            let mut names = message.split('`').skip(1).step_by(2);
            let wrong = names.next().unwrap_or_default();
            let meant = match message.starts_with("unknown field") {
                true => nearest(wrong, names),
                false => None,
            };
            let help = meant.map(|name| format!("did you mean `{name}`?"));
            let mut error = ConfigError::at(path, text, span, message.clone());
            error.help =
                help.or_else(|| help_for_type(&message)).or_else(|| help_for_syntax(&message));
            error
        })
    }

    pub(super) fn api_address(&self, path: &Path, text: &str) -> Result<SocketAddr, ConfigError> {
        let hosts = Hosts::default();
        self.api.address(&Source { path, text, beside: Beside::Ignored, hosts: &hosts })
    }

    pub(super) fn store(&self, path: &Path, text: &str) -> Result<StoreConfig, ConfigError> {
        let hosts = Hosts::default();
        self.store.check(&Source { path, text, beside: Beside::Needed, hosts: &hosts })
    }

    /// The database, and this switch among those that share it.
    pub(super) fn place_of_switches(
        &self,
        path: &Path,
        text: &str,
    ) -> Result<(StoreConfig, Option<ClusterConfig>), ConfigError> {
        let hosts = Hosts::default();
        let source = Source { path, text, beside: Beside::Needed, hosts: &hosts };
        let store = self.store.check(&source)?;
        let cluster = self.cluster.check(&source, &store.place)?;
        Ok((store, cluster))
    }

    /// `known`: where hosts were when they were last found.
    pub(super) fn check(
        self,
        path: &Path,
        text: &str,
        beside: Beside,
        known: &KnownHosts,
    ) -> Result<Config, ConfigError> {
        let hosts = match beside {
            Beside::Ignored => Hosts::default(),
            _ => {
                let peers = self.peers.values().filter_map(|keys| keys.written_address());
                let registrars =
                    self.registrations.iter().flat_map(RegistrationKeys::written_addresses);
                Hosts::of(peers, registrars, known)
            }
        };
        let source = Source { path, text, beside, hosts: &hosts };
        let mut config = Config::default();
        self.server.check(&source, &mut config)?;
        if config.profile == Some(Profile::AmateurRadio) {
            self.check_for_radio(&source)?;
        }
        self.guests.apply(&mut config);
        self.audio.check(&source, &mut config)?;
        config.store = self.store.check(&source)?;
        config.cluster = self.cluster.check(&source, &config.store.place)?;
        config.realtime = self.realtime.check(&source)?;
        config.hep = self.hep.check(&source)?;
        config.traces = self.traces.check(&source)?;
        config.overload = self.overload.check(&source)?;
        config.nodes = self.allstar.check(&source)?;
        let defaults = self.timers.check(&source, &mut config.endpoint)?;
        let mut acls = BTreeMap::new();
        for (name, keys) in self.acls {
            acls.insert(name, read_acl(&source, keys.permit.as_deref(), &keys.deny)?);
        }
        config.music = read_music(&source, self.music)?;
        config.conferences = read_conferences(&source, self.conferences)?;
        config.parking = self.parking.check(&source, &config.music)?;
        let basis = PeerBasis {
            encryption: config.encryption,
            timers: defaults,
            acls,
            music: config.music.clone(),
            transcoding: config.transcoding,
        };
        let mut rules = BTreeMap::new();
        let mut peers = BTreeMap::new();
        let mut forwards = Vec::new();
        let mut extensions = BTreeSet::new();
        for (name, keys) in self.peers {
            if name.get_ref().starts_with(CARRIER) {
                let what = "names that begin with `carrier:` are those of carriers";
                let help = "write [carriers.NAME] for a SIP carrier, or choose another name";
                return Err(source.wrong(&name, what).with_help(help));
            }
            if name.get_ref().starts_with(SWITCH) {
                let what = "names that begin with `switch:` are those of other switches";
                let help = "they are known by the database of [cluster]; choose another name";
                return Err(source.wrong(&name, what).with_help(help));
            }
            forwards.push((name.get_ref().clone(), keys.forward_keys()));
            let context = keys.extension_context.clone();
            let context = context.unwrap_or_else(|| DEFAULT_CONTEXT.into());
            for number in &keys.extensions {
                if !extensions.insert((context.clone(), number.get_ref().clone())) {
                    let what = format!("extension {} has another peer already", number.get_ref());
                    let help = "ring several by a route: to = [\"peer:…\", \"peer:…\"]";
                    return Err(source.wrong(number, what).with_help(help));
                }
            }
            let phone = keys.read_phone(&source)?;
            let (mut peer, rule) = basis.check(&source, &name, *keys)?;
            let phone = phone.map(|phone| phone.of(name.get_ref(), &mut peer));
            let rule = if phone.is_some() { TokenRule::Yes } else { rule };
            config.phones.extend(phone.map(|phone| (name.get_ref().clone(), phone)));
            rules.insert(name.get_ref().clone(), rule);
            peers.insert(name.into_inner(), Arc::new(peer));
        }
        config.sip = self.sip.check(&source)?;
        read_carriers(&source, self.carriers, &mut config, &mut peers, &mut rules)?;
        config.endpoint.call_token = super::token_policy(&rules);
        for network in &self.server.call_token_optional {
            let network = super::engine_network(read_network(&source, network)?);
            config.endpoint.call_token.optional_networks.push(network);
        }
        let has_tables = config.realtime.is_some();
        let mut forwarding = Vec::new();
        for (name, keys) in forwards {
            let to = keys.check(&source, &name, &Names::new(&peers, has_tables))?;
            forwarding.push((name, to));
        }
        for (name, to) in forwarding {
            if let Some(peer) = peers.get_mut(&name) {
                Arc::make_mut(peer).forwarding = to;
            }
        }
        let mut names = Names::new(&peers, has_tables);
        for keys in self.routes {
            let notice = read_notice(&source, keys.on_congestion.as_ref(), &config.files)?;
            let route = keys.check(&source, &mut names)?;
            config.routes.push(Route { notice, ..route });
        }
        let mut taken = BTreeSet::new();
        for keys in self.limits {
            let notice = read_notice(&source, keys.on_congestion.as_ref(), &config.files)?;
            let limit = keys.check(&source, &names, &config.routes, &mut taken)?;
            config.limits.push(LimitConfig { notice, ..limit });
        }
        if let (Some(profile), Some(_)) = (&self.server.profile, config.profile) {
            quarantine(&source, profile, &rules, &peers, &mut config.limits)?;
        }
        config.peers = peers;
        config.peer_basis = Some(Arc::new(basis));
        for keys in self.registrations {
            config.registrations.extend(keys.check(&source)?);
        }
        config.api = self.api.check(&source)?;
        (config.hosts, config.lost_hosts) = hosts.into_known();
        Ok(config)
    }
}
