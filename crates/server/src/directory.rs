mod cache;
mod invalidation;
