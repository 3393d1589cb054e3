//! `octeliumctl` administers a Cluster.

fn main() -> std::process::ExitCode {
    cli::main(cli::Program::Octeliumctl)
}
