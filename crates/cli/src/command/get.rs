//! The command `get`.

use api::meta_v1::{CommonListOptions, common_list_options};
use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};

use crate::{
    client::Client,
    context::Context,
    failure::{Failure, Outcome},
    kind::{Filter, Kind},
    output::{self, Format, OutputArgs},
    remote::{self, Selection},
};

mod access;
mod audit;
mod enrollment;
mod listing;
mod mds;
mod watch;

use audit::instant;

/// List or show resources and audit events
#[derive(Args)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    paging: PagingArgs,
    #[command(subcommand)]
    target: Target,
}

/// The resource or list to show.
enum Target {
    Kind(Kind, KindArgs),
    Access(access::AccessArgs),
    Audit(audit::AuditArgs),
    Enrollment(enrollment::EnrollmentArgs),
    Mds(mds::MdsArgs),
}

/// Arguments that all kinds share.
#[derive(Args)]
struct KindArgs {
    /// Name of the object [default: list all]
    name: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    /// Show only objects of this User, such as `alice`
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Show only objects in this Namespace, such as `production`
    #[arg(short = 'n', long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Continue to print changes, as rows or as one JSON object per line
    #[arg(short = 'w', long)]
    watch: bool,
    /// Show only changes after this `cursor` of an earlier watch, such as 42 (with --watch)
    #[arg(long, value_name = "CURSOR", requires = "watch")]
    after_cursor: Option<u64>,
}

/// Arguments that select a page of a list.
#[derive(Args)]
pub(crate) struct PagingArgs {
    /// Show only this page, starting at 1 [default: all pages]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    page: Option<u32>,
    /// Number of objects per page, at most 1000; 0 uses the default of the Cluster
    #[arg(long, global = true, value_name = "N")]
    items_per_page: Option<u32>,
    /// Sort by name
    #[arg(long, global = true)]
    order_by_name: bool,
    /// Reverse the order
    #[arg(long, global = true)]
    order_reverse: bool,
}

impl PagingArgs {
    /// Converts the arguments to options of the API, which counts pages from 0.
    pub(crate) fn options(&self) -> CommonListOptions {
        use common_list_options::{
            OrderBy,
            order_by::{Mode, Type},
        };
        let order_by = (self.order_by_name || self.order_reverse).then(|| OrderBy {
            r#type: if self.order_by_name {
                Type::Name
            } else {
                Type::CreatedAt
            }
            .into(),
            mode: if self.order_reverse {
                Mode::Desc
            } else {
                Mode::Asc
            }
            .into(),
        });
        CommonListOptions {
            page: self.page.map_or(0, |page| page.saturating_sub(1)),
            items_per_page: self.items_per_page.unwrap_or(0),
            order_by,
        }
    }

    /// Returns whether only one page is requested.
    pub(crate) fn one_page(&self) -> bool {
        self.page.is_some() || self.items_per_page.is_some_and(|items| items > 0)
    }
}

/// Runs one of the subcommands.
pub(crate) async fn run(context: &Context, args: GetArgs) -> Result<Outcome, Failure> {
    match args.target {
        Target::Kind(kind, kind_args) => of_kind(context, kind, kind_args, &args.paging).await,
        Target::Access(access_args) => access::run(context, access_args, &args.paging).await,
        Target::Audit(audit_args) => audit::run(context, audit_args, &args.paging).await,
        Target::Enrollment(enrollment_args) => {
            enrollment::run(context, enrollment_args, &args.paging).await
        }
        Target::Mds(mds_args) => mds::run(context, mds_args).await,
    }
}

async fn of_kind(
    context: &Context,
    kind: Kind,
    args: KindArgs,
    paging: &PagingArgs,
) -> Result<Outcome, Failure> {
    let unfit =
        |flag: &str| Failure::usage(format!("{} cannot be filtered by {flag}", kind.plural()));
    if args.user.is_some() && kind.filter() != Some(Filter::User) {
        return Err(unfit("--user"));
    }
    if args.namespace.is_some() && kind.filter() != Some(Filter::Namespace) {
        return Err(unfit("--namespace"));
    }
    let client = Client::connect(context).await?;
    let selection = Selection {
        common: paging.options(),
        one_page: paging.one_page(),
        user: args.user,
        namespace: args.namespace,
    };
    if args.watch {
        let watched = watch::Watched {
            kind,
            name: args.name.map(|name| kind.full_name(&name)),
            selection,
            after_cursor: args.after_cursor.unwrap_or(0),
        };
        let format = args.output.output.unwrap_or(Format::Table);
        return watch::run(context, &client, &watched, &format).await;
    }
    if args.name.is_some() || kind.is_single() {
        let name = args.name.as_deref().unwrap_or("default");
        let resource = remote::get(&client, kind, name).await?;
        let format = args.output.output.unwrap_or(Format::Yaml);
        output::object(context, kind, &resource, &format)?;
    } else {
        let listing = remote::list(&client, kind, &selection).await?;
        let format = args.output.output.unwrap_or(Format::Table);
        output::listing(context, kind, &listing, &format)?;
    }
    Ok(Outcome::Done)
}

impl FromArgMatches for Target {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let missing = || clap::Error::new(clap::error::ErrorKind::MissingSubcommand);
        let (word, matches) = matches.subcommand().ok_or_else(missing)?;
        if word == "access" {
            return access::AccessArgs::from_arg_matches(matches).map(Self::Access);
        }
        if word == "audit" {
            return audit::AuditArgs::from_arg_matches(matches).map(Self::Audit);
        }
        if word == "enrollment" {
            return enrollment::EnrollmentArgs::from_arg_matches(matches).map(Self::Enrollment);
        }
        if word == "mds" {
            return mds::MdsArgs::from_arg_matches(matches).map(Self::Mds);
        }
        let kind = Kind::parse(word).ok_or_else(missing)?;
        KindArgs::from_arg_matches(matches).map(|args| Self::Kind(kind, args))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Subcommand for Target {
    fn augment_subcommands(command: Command) -> Command {
        let kinds = Kind::ALL.iter().map(|kind| {
            let word = kind.word();
            KindArgs::augment_args(Command::new(word))
                .visible_aliases(kind.aliases())
                .about(format!("Show {}", kind.plural()))
                .after_help(format!("Example:\n  octeliumctl get {word} -o json"))
                .mut_arg("user", |arg| arg.hide(kind.filter() != Some(Filter::User)))
                .mut_arg("namespace", |arg| {
                    arg.hide(kind.filter() != Some(Filter::Namespace))
                })
        });
        let access = access::AccessArgs::augment_args(Command::new("access"))
            .about("Show requests to Services, newest first")
            .after_help("Example:\n  octeliumctl get access --decision denied --since 1h");
        let audit = audit::AuditArgs::augment_args(Command::new("audit"))
            .about("Show audit events, newest first")
            .after_help("Example:\n  octeliumctl get audit --user alice --since 24h");
        let enrollment = enrollment::EnrollmentArgs::augment_args(Command::new("enrollment"))
            .about("Show unused one-time sign-in links")
            .after_help("Example:\n  octeliumctl get enrollment --user john");
        let mds = mds::MdsArgs::augment_args(Command::new("mds"))
            .about("Show the state of the authenticator metadata (FIDO MDS)")
            .after_help("Example:\n  octeliumctl get mds -o json");
        command
            .subcommand_required(true)
            .arg_required_else_help(true)
            .subcommands(kinds)
            .subcommand(access)
            .subcommand(audit)
            .subcommand(enrollment)
            .subcommand(mds)
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        matches!(name, "access" | "audit" | "enrollment" | "mds") || Kind::parse(name).is_some()
    }
}
