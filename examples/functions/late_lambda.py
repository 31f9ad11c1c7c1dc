"""A handler for AWS Lambda, as it would be deployed there: how late a flight was, in words."""


def handler(event, context):
    minutes = event["arrival_delay"]
    if minutes is None:
        raise ValueError(f"flight {event['flight']} never arrived")
    word = "early" if minutes < 0 else "on time" if minutes <= 15 else "late"
    return {"flight": event["flight"], "was": word, "minutes": minutes}
