//! Proofs of identity beyond Credentials: authenticators and identity providers. None is served yet.
