//! Typed documents: conversion between stored documents and messages, index entries, and reads.

pub mod codec;
pub(crate) mod identity_provider;
pub mod index;
pub mod load;
pub(crate) mod secret;
pub mod token_ids;
