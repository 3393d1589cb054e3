//! The command `octelium get`: lists the resources that a User can see.

use api::{
    document,
    meta_v1::{CommonListOptions, GetOptions},
    reflect,
    user_v1::{ListNamespaceOptions, ListServiceOptions, Namespace, Service},
};
use clap::{Args, Subcommand};

use super::get::PagingArgs;
use crate::{
    client::{Client, Repeat},
    context::Context,
    failure::{Failure, Outcome},
    kind::Kind,
    output::{self, Format, OutputArgs, table},
};

/// List or show Services and Namespaces
#[derive(Args)]
pub(crate) struct UserGetArgs {
    #[command(flatten)]
    paging: PagingArgs,
    #[command(subcommand)]
    target: Target,
}

#[derive(Subcommand)]
enum Target {
    /// List or show the Services you can reach
    #[command(visible_aliases = ["svc", "services"], after_help = "Example:\n  octelium get service -n default")]
    Service(ServiceArgs),
    /// List Namespaces
    #[command(visible_aliases = ["ns", "namespaces"], after_help = "Example:\n  octelium get namespace -o json")]
    Namespace(NamespaceArgs),
}

#[derive(Args)]
struct ServiceArgs {
    /// Name of the Service, such as `web` [default: list all]
    name: Option<String>,
    /// Show only Services in this Namespace, such as `default`
    #[arg(short = 'n', long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args)]
struct NamespaceArgs {
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs one of the subcommands.
pub(crate) async fn run(context: &Context, args: UserGetArgs) -> Result<Outcome, Failure> {
    let client = Client::connect(context).await?;
    match args.target {
        Target::Service(ServiceArgs {
            name: Some(name),
            output,
            ..
        }) => service(context, &client, &name, output).await?,
        Target::Service(service) => services(context, &client, service, &args.paging).await?,
        Target::Namespace(namespace) => {
            namespaces(context, &client, namespace, &args.paging).await?;
        }
    }
    Ok(Outcome::Done)
}

async fn service(
    context: &Context,
    client: &Client,
    name: &str,
    args: OutputArgs,
) -> Result<(), Failure> {
    let options = GetOptions {
        name: Kind::Service.full_name(name),
        uid: String::new(),
    };
    let service = client
        .call(Repeat::Safe, async |rpc| {
            rpc.user().get_service(options.clone()).await
        })
        .await?
        .into_inner();
    let format = args.output.unwrap_or(Format::Yaml);
    let value = reflect::dynamic(&service).map(|message| document::to_json(&message));
    show(
        context,
        &[service],
        value.as_ref(),
        &format,
        Kind::Service,
        (&SERVICE, service_row),
    )
}

async fn services(
    context: &Context,
    client: &Client,
    args: ServiceArgs,
    paging: &PagingArgs,
) -> Result<(), Failure> {
    let common = paging.options();
    let fetch = async |common: CommonListOptions| {
        let options = ListServiceOptions {
            common: Some(common),
            namespace: args.namespace.clone().unwrap_or_default(),
            ..ListServiceOptions::default()
        };
        client
            .call(Repeat::Safe, async |rpc| {
                rpc.user().list_service(options.clone()).await
            })
            .await
    };
    let mut list = fetch(common).await?.into_inner();
    let mut page = common;
    let more = |meta: Option<api::meta_v1::ListResponseMeta>| meta.unwrap_or_default().has_more;
    while !paging.one_page() && more(list.list_response_meta) {
        page.page += 1;
        let next = fetch(page).await?.into_inner();
        list.items.extend(next.items);
        list.list_response_meta = next.list_response_meta;
    }
    let format = args.output.output.unwrap_or(Format::Table);
    let value = output::list_value(&list);
    show(
        context,
        &list.items,
        value.as_ref(),
        &format,
        Kind::Service,
        (&SERVICE, service_row),
    )
}

async fn namespaces(
    context: &Context,
    client: &Client,
    args: NamespaceArgs,
    paging: &PagingArgs,
) -> Result<(), Failure> {
    let options = ListNamespaceOptions {
        common: Some(paging.options()),
    };
    let list = client
        .call(Repeat::Safe, async |rpc| {
            rpc.user().list_namespace(options).await
        })
        .await?
        .into_inner();
    let format = args.output.output.unwrap_or(Format::Table);
    let value = output::list_value(&list);
    show(
        context,
        &list.items,
        value.as_ref(),
        &format,
        Kind::Namespace,
        (&NAMESPACE, namespace_row),
    )
}

/// Header of a table, and the function that makes a row.
type Columns<T> = (&'static [&'static str], fn(&T) -> Vec<String>);

fn show<T>(
    context: &Context,
    items: &[T],
    value: Option<&serde_json::Value>,
    format: &Format,
    kind: Kind,
    (header, row): Columns<T>,
) -> Result<(), Failure> {
    match format {
        Format::Json | Format::Jsonl | Format::Yaml | Format::JsonPath(_) | Format::Field(_) => {
            match value {
                Some(value) => output::value(context, value, format),
                None => Ok(()),
            }
        }
        Format::Table | Format::Wide if items.is_empty() => {
            context.terminal.say(&format!("No {} found", kind.plural()));
            Ok(())
        }
        Format::Table | Format::Wide => {
            let mut rows = vec![header.iter().map(ToString::to_string).collect()];
            rows.extend(items.iter().map(row));
            context.terminal.data(&table::render(&rows))
        }
        Format::Name => items.iter().try_for_each(|item| {
            let row = row(item);
            let name = row.first().map_or("", String::as_str);
            context.terminal.line(&format!("{}/{name}", kind.word()))
        }),
    }
}

const SERVICE: [&str; 7] = [
    "NAME",
    "NAMESPACE",
    "PORT",
    "TYPE",
    "ADDRESSES",
    "TLS",
    "PUBLIC",
];
const NAMESPACE: [&str; 2] = ["NAME", "DESCRIPTION"];

fn service_row(service: &Service) -> Vec<String> {
    let metadata = service.metadata.clone().unwrap_or_default();
    let spec = service.spec.unwrap_or_default();
    let status = service.status.clone().unwrap_or_default();
    let flag = |set: bool| {
        if set {
            "True".to_owned()
        } else {
            String::new()
        }
    };
    let service_type = match spec.r#type().as_str_name() {
        "UNSET" => "",
        name => name,
    };
    vec![
        metadata.name,
        status.namespace,
        spec.port.to_string(),
        service_type.to_owned(),
        status.addresses.join(","),
        flag(spec.is_tls),
        flag(spec.is_public),
    ]
}

fn namespace_row(namespace: &Namespace) -> Vec<String> {
    let metadata = namespace.metadata.clone().unwrap_or_default();
    vec![metadata.name, metadata.description]
}
