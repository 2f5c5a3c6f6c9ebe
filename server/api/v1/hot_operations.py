"""The description of the plain views, which load is made of."""

from server.api.v1.openapi import JSON, one_of_path, operation, ref, text
from server.api.v1.schemas import LIMITS, NAME

HOT = {
    "/api/v1/streams/{name}/observations/": {
        "post": operation(
            "addObservations",
            "Post observations; every model on the stream predicts, is scored on and learns each",
            'One observation, `{"observations": […]}`, or NDJSON; all or none are taken. An answer of 201 means that they are '
            "on disk and learned. A repeated key answers as the first time did and changes nothing. A stream "
            "that isn't there is made if the caller's token has the scope create; else 404 names the nearest. Where the stream has a descriptor, the request names it beside its points (NDJSON can't); where "
            "it has none, the request doesn't.",
            tag="observations",
            parameters=[one_of_path("name", "The stream", NAME)],  # it may be made now
            body={
                JSON: {"anyOf": [ref("SingleObservation"), ref("NewObservations")]},
                "application/x-ndjson": {"type": "string", "description": "One NewObservation a line"},
            },
            answers={201: "Receipt"},
            errors=(404, 409),
        )
    },
    "/api/v1/models/{name}/predict/": {
        "post": operation(
            "predict",
            "Predict one point (x) or many (xs)",
            "With an identifier, or `track`, the prediction of one point is kept until its label arrives. A repeated "
            "identifier answers as the first time did. Where the stream declares no features, what it has seen is what points "
            "are held to: the answer carries `warnings`, or, if the request is `strict`, is an error.",
            tag="predictions",
            parameters=[one_of_path("name", "The model")],
            body="Question",
            answers={200: "Answer"},
            errors=(404, 409),
        )
    },
    "/api/v1/predictions/{identifier}/label/": {
        "post": operation(
            "label",
            "Say what a kept prediction should have been; the point is learned, scored on the prediction made then",
            tag="predictions",
            parameters=[
                one_of_path("identifier", "As the prediction's answer gave it", text(LIMITS.max_name_length, 1))
            ],
            body="Label",
            answers={200: "Receipt"},
            errors=(404, 409, 410),
        )
    },
}
