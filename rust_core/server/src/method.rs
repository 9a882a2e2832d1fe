//! Every method that callers can name, in one table.

/// How a call of a method is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In the thread that read it: never waits, but for durability.
    Inline,
    /// On a thread of its own: walks the state or the disk.
    Blocking,
    /// Asks the compute worker.
    Compute,
    /// A stream.
    Stream,
}

macro_rules! methods {
    ($($kind:ident $service:literal { $($variant:ident $name:literal)* })*) => {
        /// A method.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Method {
            $($(
                #[doc = concat!($service, ".", $name)]
                $variant,
            )*)*
        }

        impl Method {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$($(Self::$variant,)*)*];

            /// The method of a request path.
            #[inline]
            pub fn from_path(path: &str) -> Option<Self> {
                match path {
                    $($(concat!("/", $service, "/", $name) => Some(Self::$variant),)*)*
                    _ => None,
                }
            }

            /// Service and method, for metrics and traces.
            pub fn name(self) -> &'static str {
                match self {
                    $($(Self::$variant => concat!($service, "/", $name),)*)*
                }
            }

            /// How a call of it is run.
            #[inline]
            pub fn kind(self) -> Kind {
                match self {
                    $($(Self::$variant => Kind::$kind,)*)*
                }
            }
        }
    };
}

methods! {
    Inline "bespeak.v1.PromiseService" {
        Check "Check"
        Promise "Promise"
        Reserve "Reserve"
        Confirm "Confirm"
        Fulfil "Fulfil"
        Release "Release"
        Extend "Extend"
        GetReservation "GetReservation"
        Explain "Explain"
        Repromise "Repromise"
    }
    Blocking "bespeak.v1.PromiseService" {
        AsOf "AsOf"
        CheckRegion "CheckRegion"
    }
    Stream "bespeak.v1.PromiseService" {
        Session "Session"
        WatchAvailability "WatchAvailability"
    }
    Inline "bespeak.v1.SupplyService" {
        SetOnHand "SetOnHand"
        AdjustOnHand "AdjustOnHand"
        MoveStatus "MoveStatus"
        ScheduleReceipt "ScheduleReceipt"
        ChangeReceipt "ChangeReceipt"
        Receive "Receive"
        CancelReceipt "CancelReceipt"
        Transfer "Transfer"
        Return "Return"
        GetPosition "GetPosition"
        ListShocks "ListShocks"
    }
    Inline "bespeak.v1.CatalogService" {
        PutItem "PutItem"
        PutLocation "PutLocation"
        PutRegion "PutRegion"
        PutLane "PutLane"
        PutRule "PutRule"
        PutBuffer "PutBuffer"
        PutQuota "PutQuota"
        PutProtection "PutProtection"
        PutCapacity "PutCapacity"
        GetItem "GetItem"
        GetLocation "GetLocation"
        ListItems "ListItems"
        ListLocations "ListLocations"
        ListRegions "ListRegions"
        ListLanes "ListLanes"
    }
    Inline "bespeak.v1.AdminService" {
        ConfirmClock "ConfirmClock"
        ReportAvailability "ReportAvailability"
    }
    Blocking "bespeak.v1.AdminService" {
        GetStats "GetStats"
        GetUnmetDemand "GetUnmetDemand"
        Reconcile "Reconcile"
        Snapshot "Snapshot"
        Backup "Backup"
    }
    Blocking "bespeak.v1.CatalogService" {
        PutBufferPolicy "PutBufferPolicy"
    }
    Compute "bespeak.v1.ForecastService" {
        Forecast "Forecast"
        ForecastExplain "Explain"
    }
    Blocking "bespeak.v1.ForecastService" {
        ForecastAccuracy "Accuracy"
    }
    Compute "bespeak.v1.AllocationService" {
        Allocate "Allocate"
        Reoptimise "Reoptimise"
        AllocationExplain "Explain"
        Simulate "Simulate"
    }
    Blocking "bespeak.v1.AllocationService" {
        PutNetwork "PutNetwork"
    }
    Stream "bespeak.v1.AllocationService" {
        SubmitOrders "SubmitOrders"
    }
    Stream "arrow.flight.protocol.FlightService" {
        FlightDoExchange "DoExchange"
        FlightDoPut "DoPut"
        FlightDoGet "DoGet"
        FlightDoAction "DoAction"
        FlightListActions "ListActions"
        FlightListFlights "ListFlights"
        FlightGetFlightInfo "GetFlightInfo"
        FlightPollFlightInfo "PollFlightInfo"
        FlightGetSchema "GetSchema"
        FlightHandshake "Handshake"
    }
    Stream "grpc.health.v1.Health" {
        HealthCheck "Check"
        HealthWatch "Watch"
    }
    Stream "grpc.reflection.v1.ServerReflection" {
        Reflection "ServerReflectionInfo"
    }
    Stream "grpc.reflection.v1alpha.ServerReflection" {
        ReflectionAlpha "ServerReflectionInfo"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_of_the_contract_is_in_the_table() {
        let files = <prost_types::FileDescriptorSet as prost::Message>::decode(
            bespeak_proto::FILE_DESCRIPTOR_SET,
        )
        .expect("own descriptors");
        let mut contract = Vec::new();
        for file in &files.file {
            for service in file
                .service
                .iter()
                .filter(|service| service.name() != "ComputeService")
            {
                for method in &service.method {
                    contract.push(format!(
                        "{}.{}/{}",
                        file.package(),
                        service.name(),
                        method.name()
                    ));
                }
            }
        }
        assert!(contract.len() > 40);
        let known: Vec<_> = Method::ALL
            .iter()
            .map(|method| method.name().to_owned())
            .collect();
        for method in &contract {
            assert!(known.contains(method), "{method} has no place in the table");
            assert!(Method::from_path(&format!("/{method}")).is_some());
        }
        let own = known
            .iter()
            .filter(|name| name.starts_with("bespeak."))
            .count();
        assert_eq!(own, contract.len());
    }

    #[test]
    fn numbers_follow_the_order() {
        for (number, method) in Method::ALL.iter().enumerate() {
            assert_eq!(*method as usize, number);
        }
        assert_eq!(Method::from_path("/bespeak.v1.PromiseService/Nope"), None);
    }
}
