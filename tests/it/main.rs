mod agree;
mod sdk;
