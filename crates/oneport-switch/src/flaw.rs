//! Mistakes that somebody could make, for tests that show that they would be found. None is ever in a program.

/// Declares mistakes, each a type that says whether it is made now.
macro_rules! flaws {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        $(
            $(#[$doc])*
            pub(crate) struct $name;

            impl $name {
                #[cfg(not(test))]
                pub(crate) const fn is_there(&self) -> bool {
                    false
                }

                #[cfg(test)]
                pub(crate) fn is_there(&self) -> bool {
                    $crate::flaw::made::is(stringify!($name))
                }
            }
        )*

        /// All of them by name.
        #[cfg(test)]
        pub(crate) const ALL: &[&str] = &[$(stringify!($name)),*];
    };
}

pub(crate) use flaws;

// Those of who is registered.
flaws! {
    /// What has lost against another switch stays where it is.
    KeepsSuperseded,
    /// What has expired is found.
    FindsExpired,
}

/// Which mistake is made on this thread.
#[cfg(test)]
pub(crate) mod made {
    use std::cell::Cell;

    thread_local!(static MADE: Cell<Option<&'static str>> = const { Cell::new(None) });

    pub(crate) fn is(name: &str) -> bool {
        MADE.get() == Some(name)
    }

    pub(crate) fn make(name: Option<&'static str>) {
        MADE.set(name);
    }
}
