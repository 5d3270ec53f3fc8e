use super::*;

fn failure(reached: Reached, code: Option<&str>) -> Failure {
    Failure {
        reached,
        code: code.map(str::to_owned),
        message: String::new(),
        retry_after: None,
        request_id: None,
    }
}

fn answered(status: u16, code: &str) -> Failure {
    failure(Reached::Answered(status), Some(code))
}

const fn seconds(seconds: u64, scope: Scope) -> Verdict {
    Verdict::Later { after: Some(Duration::from_secs(seconds)), scope }
}

/// Every code of sections 2.2 and 2.3 of the API reference, with the statuses it is known at.
const ROWS: &[(&str, &[u16], Verdict)] = &[
    ("InvalidObjectPath.Malformed", &[400], Verdict::Split),
    ("ObjectPath.Malformed", &[400], Verdict::Split),
    ("InvalidObjectPath.Size.Malformed", &[400], Verdict::Smaller),
    ("InvalidObjectPath.ExceedsMaximum", &[400], Verdict::Smaller),
    ("SingleRequest.OverLimit", &[400], Verdict::Smaller),
    ("InvalidObjectType.Malformed", &[400], Verdict::Never),
    ("InvalidObjectType.ValueNotSupported", &[400], Verdict::Never),
    ("InvalidExtensiveDomain.ValueNotSupported", &[400], Verdict::Split),
    ("MissingParameter", &[400], Verdict::Never),
    ("MissingParameter.ObjectType", &[400], Verdict::Never),
    ("QuotaExceeded.Refresh", &[400], Verdict::NextDay),
    ("QuotaExceeded.Preload", &[400], Verdict::NextDay),
    ("QuotaPerMinuteExceeded.Refresh", &[400], seconds(60, Scope::Domain)),
    ("TooMany.Refresh", &[400], seconds(60, Scope::Domain)),
    ("PreloadQueueFull", &[400, 403], seconds(300, Scope::Queue)),
    ("Throttling", &[400, 503], THROTTLED),
    ("Throttling.User", &[400, 503], THROTTLED),
    ("Throttling.Api", &[400, 503], THROTTLED),
    ("TooManyRequests", &[429], THROTTLED),
    ("FlowControlError", &[400], THROTTLED),
    ("InvalidDomain.NotFound", &[404], Verdict::Domain),
    ("InvalidDomain.Offline", &[404], Verdict::Domain),
    ("IllegalOperation", &[403], Verdict::Domain),
    ("IllegalOperationDomain", &[400], Verdict::Domain),
    ("DomainInProtectedMode", &[403], Verdict::Domain),
    ("ServiceBusy", &[403], seconds(120, Scope::Domain)),
    ("SystemUpgrading", &[403], seconds(60, Scope::Account)),
    ("SystemBusy", &[403], seconds(60, Scope::Account)),
    ("InvalidDomain.Configure_failed", &[400], seconds(120, Scope::Domain)),
    ("InvalidDomain.Configure_failed", &[500], Verdict::Unknown),
    ("OperationDenied", &[403], Verdict::Operator),
    ("CdnServiceNotFound", &[403], Verdict::Operator),
    ("InternalError", &[500], Verdict::Unknown),
    ("ServiceUnavailable", &[503], Verdict::Unknown),
    ("InvalidTaskId.Malformed", &[400], Verdict::Never),
    ("InvalidStartTime.Malformed", &[400], Verdict::Never),
    ("InvalidEndTime.Malformed", &[400], Verdict::Never),
    ("InvalidEndTime.Mismatch", &[400], Verdict::Never),
    ("InvalidStartTime.ValueNotSupported", &[400], Verdict::Never),
    ("InvalidStatus.ValueNotSupported", &[400], Verdict::Never),
    ("InvalidAccessKeyId.NotFound", &[400, 404], Verdict::Renew),
    ("InvalidAccessKeyId.Inactive", &[400], Verdict::Renew),
    ("InvalidSecurityToken.Expired", &[400], Verdict::Renew),
    ("InvalidSecurityToken.Malformed", &[400], Verdict::Renew),
    ("InvalidSecurityToken.MismatchWithAccessKey", &[400], Verdict::Renew),
    ("SignatureDoesNotMatch", &[400, 403], Verdict::Renew),
    ("IncompleteSignature", &[400, 403], Verdict::Renew),
    ("SignatureNonceUsed", &[400], Verdict::Unknown),
    ("InvalidTimeStamp.Expired", &[400], Verdict::Later { after: None, scope: Scope::Batch }),
    ("InvalidTimeStamp.Format", &[400], Verdict::Operator),
    ("IllegalTimestamp", &[400], Verdict::Operator),
    ("Forbidden.RAM", &[403], Verdict::Forbidden),
    ("NoPermission", &[403], Verdict::Forbidden),
    ("Forbidden", &[403], Verdict::Forbidden),
    ("Forbidden.RiskControl", &[403], Verdict::Operator),
    ("Forbidden.UserVerification", &[403], Verdict::Operator),
    ("InvalidApi.NotFound", &[400, 404], Verdict::Operator),
    ("InvalidAction.NotFound", &[400, 404], Verdict::Operator),
    ("InvalidVersion", &[400, 404], Verdict::Operator),
    ("InvalidProduct.NotFound", &[400, 404], Verdict::Operator),
    ("UnsupportedHTTPMethod", &[400, 404], Verdict::Operator),
    ("InvalidParameter.Format", &[400, 404], Verdict::Split),
    ("InvalidProtocol.NeedSsl", &[404], Verdict::Operator),
];

#[test]
fn every_documented_code_has_its_verdict() {
    for (code, statuses, verdict) in ROWS {
        for status in *statuses {
            assert_eq!(judge(&answered(*status, code)), *verdict, "{code} at {status}");
            let shouted = answered(*status, &code.to_uppercase());
            assert_eq!(judge(&shouted), *verdict, "{code} in another case");
        }
    }
}

#[test]
fn every_row_of_the_table_can_be_reached() {
    for (at, (pattern, _)) in TABLE.iter().enumerate() {
        let first = TABLE.iter().position(|(earlier, _)| starts_with(pattern, earlier));
        assert_eq!(first, Some(at), "{pattern} stands behind a wider pattern");
    }
}

#[test]
fn what_may_have_been_executed_is_unknown() {
    for failure in [
        failure(Reached::Sent, None),
        failure(Reached::Answered(200), None),
        failure(Reached::Answered(302), None),
        failure(Reached::Answered(403), None),
        failure(Reached::Answered(429), None),
        failure(Reached::Answered(502), None),
        answered(500, "SomethingNew"),
        answered(500, "QuotaExceeded.Refresh"),
        // No whole answer came, so its code cannot be trusted either.
        failure(Reached::Sent, Some("Throttling")),
    ] {
        assert_eq!(judge(&failure), Verdict::Unknown, "{failure:?}");
    }
}

#[test]
fn nothing_written_is_tried_again_and_a_long_query_is_split() {
    assert_eq!(judge(&failure(Reached::Nothing, None)), UNREACHED);
    assert_eq!(judge(&failure(Reached::Nothing, Some(QUERY_TOO_LONG))), Verdict::Smaller);
    assert_eq!(judge(&failure(Reached::Nothing, Some(NO_CREDENTIALS))), Verdict::Renew);
}

#[test]
fn an_unknown_refusal_is_split_unless_it_names_a_wait() {
    let mut refused = answered(400, "SomethingNew");
    assert_eq!(judge(&refused), Verdict::Split);
    refused.retry_after = Some(Duration::from_secs(7));
    assert_eq!(judge(&refused), seconds(7, Scope::Rate));
}

#[test]
fn a_wait_in_the_answer_lengthens_but_never_shortens() {
    for (wait, expected) in [(5, 60), (90, 90)] {
        let mut refused = answered(400, "TooMany.Refresh");
        refused.retry_after = Some(Duration::from_secs(wait));
        assert_eq!(judge(&refused), seconds(expected, Scope::Domain));
    }
    let mut spent = answered(400, "QuotaExceeded.Refresh");
    spent.retry_after = Some(Duration::from_secs(5));
    assert_eq!(judge(&spent), Verdict::NextDay);
}

#[test]
fn what_an_operator_taught_counts_before_what_is_documented() {
    let taught = [
        ("quotaexceeded.".to_owned(), Verdict::Never),
        ("QuotaExceeded.Refresh".to_owned(), Verdict::Split),
        ("Brand.New".to_owned(), Verdict::Domain),
    ];
    let verdicts = Verdicts::teach(BTreeMap::from(taught));
    assert_eq!(verdicts.judge(&answered(400, "QuotaExceeded.Refresh")), Verdict::Split);
    assert_eq!(verdicts.judge(&answered(400, "QuotaExceeded.Preload")), Verdict::Never);
    assert_eq!(verdicts.judge(&answered(404, "brand.new.code")), Verdict::Domain);
    assert!(verdicts.know("Brand.New") && !Verdicts::default().know("Brand.New"));
    // What may have been executed stays unknown, whatever was taught.
    assert_eq!(verdicts.judge(&answered(500, "Brand.New")), Verdict::Unknown);
}

#[test]
fn every_word_for_a_verdict_is_read() {
    for (word, verdict) in Verdict::WORDS {
        assert_eq!(Verdict::parse(word).as_ref(), Some(verdict));
    }
    assert_eq!(Verdict::parse("maybe"), None);
}
