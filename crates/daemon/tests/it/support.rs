//! What the stories are told with: the real programs, a Cluster in a temporary directory, plain HTTPS.

pub mod cluster;
pub mod https;
pub mod program;
pub mod scene;
pub mod upstream;
