//! Who may use the API, and for what.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq;
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::private_file;

/// What a token or a user of the console is good for. Each role may do what those before it may.
///
/// ```
/// use oneport_switch::api::Role;
///
/// assert_eq!(Role::ALL.map(Role::name), ["viewer", "operator", "admin"]);
/// assert!(Role::Admin > Role::Viewer);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Places, ends and transfers calls.
    Operator,
    /// Reloads the configuration, and drains the switch.
    Admin,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// Its name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A token, of which its hash alone is kept.
///
/// ```
/// use oneport_switch::api::{Role, Token};
///
/// let token = Token::new("dashboard", b"0123456789abcdef", Role::Viewer).listening(true);
/// assert!(!format!("{token:?}").contains("0123456789abcdef"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    name: String,
    hash: [u8; 32],
    role: Role,
    listens: bool,
}

impl Token {
    /// By which the log knows it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn role(&self) -> Role {
        self.role
    }

    /// Whether its holder may listen to calls.
    pub(crate) const fn listens(&self) -> bool {
        self.listens
    }

    /// The token `secret`, known in the log by `name`.
    #[must_use]
    pub fn new(name: &str, secret: &[u8], role: Role) -> Self {
        Self { name: name.into(), hash: Sha256::digest(secret).into(), role, listens: false }
    }

    /// By which another process knows it.
    pub(crate) const fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Lets its holder listen to calls that are up, whatever its role.
    #[must_use]
    pub fn listening(mut self, listens: bool) -> Self {
        self.listens = listens;
        self
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.role)
    }
}

/// The tokens that are good now. A reload replaces them.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    /// The one that was made at the start, good as long as none is configured.
    made: Option<Token>,
    good: watch::Sender<Vec<Token>>,
}

impl Tokens {
    pub(crate) fn new(made: Option<Token>) -> Self {
        Self { made, good: watch::Sender::default() }
    }

    pub(crate) fn replace(&self, mut tokens: Vec<Token>) {
        if tokens.is_empty() {
            tokens.extend(self.made.clone());
        }
        self.good.send_replace(tokens);
    }

    /// Whose token this is. How long it takes does not depend on how much of it is right, nor on
    /// which of them it is.
    pub(crate) fn identify(&self, secret: &[u8]) -> Option<Token> {
        let hash: [u8; 32] = Sha256::digest(secret).into();
        let mut found = None;
        for token in self.good.borrow().iter() {
            if bool::from(token.hash.ct_eq(&hash)) {
                found = Some(token.clone());
            }
        }
        found
    }

    /// Returns when a token is good no more, or lets nobody listen any more; another name or role changes
    /// nothing.
    pub(crate) async fn listens_no_more(&self, token: &Token) {
        self.ceases_where(token, |one| one.listens).await;
    }

    /// Returns when a token is good no more; another name or role changes nothing.
    pub(crate) async fn is_withdrawn(&self, token: &Token) {
        self.ceases_where(token, |_| true).await;
    }

    /// Returns when a token is good no more, or no longer what `holds` asks for.
    async fn ceases_where(&self, token: &Token, holds: impl Fn(&Token) -> bool) {
        let mut good = self.good.subscribe();
        let is_good = |good: &[Token]| good.iter().any(|one| one.hash == token.hash && holds(one));
        let _ = good.wait_for(|good| !is_good(good)).await;
    }
}

/// Where a switch keeps what outlives it: what systemd has made for it, else the user's directory
/// for states.
#[must_use]
pub fn state_directory() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(directories) = variable("STATE_DIRECTORY") {
        // systemd may name several.
        let first = std::env::split_paths(&directories).next();
        return first.unwrap_or_else(|| directories.into());
    }
    if let Some(directory) = variable("XDG_STATE_HOME") {
        return PathBuf::from(directory).join("oneport");
    }
    match variable("HOME") {
        Some(home) => PathBuf::from(home).join(".local/state/oneport"),
        None => PathBuf::from("/var/lib/oneport"),
    }
}

/// The file with the token that a switch makes itself whose API listens on this port.
#[must_use]
pub fn token_file(directory: &Path, port: u16) -> PathBuf {
    directory.join(format!("api-{port}.token"))
}

/// 256 random bits in hexadecimal digits.
pub(crate) fn random_secret() -> io::Result<String> {
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The token that another process has made, for the switch's own user.
pub(super) fn made_by_hash(hash: [u8; 32]) -> Token {
    Token { name: "state".into(), hash, role: Role::Admin, listens: true }
}

/// Makes a token for an administrator and writes it where nobody but this user reads it.
pub(super) fn make_token(path: &Path) -> io::Result<Token> {
    let secret = random_secret()?;
    private_file::write(path, format!("{secret}\n").as_bytes())?;
    Ok(Token::new("state", secret.as_bytes(), Role::Admin).listening(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_is_known_by_all_of_it() {
        let tokens = Tokens::default();
        assert_eq!(tokens.identify(b"anything"), None);
        tokens.replace(vec![
            Token::new("monitor", b"0123456789abcdef", Role::Viewer),
            Token::new("desk", b"fedcba9876543210", Role::Operator),
        ]);
        let desk = tokens.identify(b"fedcba9876543210").expect("it is good");
        assert_eq!((desk.name(), desk.role()), ("desk", Role::Operator));
        for wrong in ["fedcba987654321", "fedcba98765432100", "fedcba9876543211", ""] {
            assert_eq!(tokens.identify(wrong.as_bytes()), None, "{wrong}");
        }
        tokens.replace(Vec::new());
        assert_eq!(tokens.identify(b"fedcba9876543210"), None);
    }

    #[test]
    fn the_token_that_is_made_is_new_each_time_and_read_by_its_owner_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = token_file(&directory.path().join("state"), 8569);
        let first = make_token(&path).expect("written");
        let secret = fs::read_to_string(&path).expect("readable");
        assert_eq!(secret.trim_end().len(), 64);
        let own = Token::new("state", secret.trim_end().as_bytes(), Role::Admin);
        assert_eq!(first, own.listening(true));
        assert_ne!(make_token(&path).expect("written again"), first);
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().expect("its directory")).expect("ours").count(), 1);
        assert!(!format!("{first:?}").contains(secret.trim_end()));
    }

    #[tokio::test]
    async fn who_listens_does_so_until_a_reload_takes_the_token_or_its_right_away() {
        let token = |name, secret| Token::new(name, secret, Role::Viewer);
        let (own, other) = (&b"0123456789abcdef"[..], &b"fedcba9876543210"[..]);
        for withdrawn in [
            vec![],
            vec![token("ear", own)],
            vec![token("ear", other).listening(true)],
            vec![token("ear", own), token("two", other).listening(true)],
        ] {
            let tokens = Tokens::default();
            tokens.replace(vec![token("ear", own).listening(true), token("two", other)]);
            let ear = tokens.identify(own).expect("it is good");
            let ends = tokens.listens_no_more(&ear);
            tokio::pin!(ends);
            let goes_on = vec![Token::new("both", own, Role::Admin).listening(true)];
            tokens.replace(goes_on);
            assert!(is_pending(ends.as_mut()).await, "it may listen on");
            tokens.replace(withdrawn.clone());
            assert!(!is_pending(ends.as_mut()).await, "{withdrawn:?}");
            // And who begins at that moment ends at once.
            tokens.listens_no_more(&ear).await;
        }
    }

    /// Whether there is nothing for it to do yet.
    async fn is_pending(future: std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
        tokio::select! {
            biased;
            () = future => false,
            () = std::future::ready(()) => true,
        }
    }

    #[test]
    fn roles_are_ordered() {
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
    }
}
