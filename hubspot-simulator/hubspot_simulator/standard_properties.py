"""The properties that HubSpot defines itself, as far as the simulator has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubspot_simulator.properties import PropertyDefinition

if TYPE_CHECKING:
    from hubspot_simulator.object_types import ObjectType

# One line a property: name, type, then field type, flags or options where they differ.
# c = calculated, r = read only, u = unique, owner = options live in the owners API.
DEALS = """
amount number
amount_in_home_currency number calculation_equation c
closed_lost_reason string textarea
closed_won_reason string textarea
closedate datetime
createdate datetime
days_to_close number calculation_equation c
deal_currency_code enumeration USD|EUR|GBP|JPY
dealname string
dealstage enumeration radio
dealtype enumeration radio newbusiness|existingbusiness
description string textarea
engagements_last_meeting_booked datetime r
hs_acv number
hs_all_accessible_team_ids enumeration checkbox r
hs_all_owner_ids enumeration checkbox r owner
hs_analytics_source enumeration r ORGANIC_SEARCH|PAID_SEARCH|EMAIL_MARKETING|DIRECT_TRAFFIC|OFFLINE
hs_analytics_source_data_1 string r
hs_arr number
hs_campaign string
hs_closed_amount number calculation_equation c
hs_closed_amount_in_home_currency number calculation_equation c
hs_closed_won_date datetime c
hs_createdate datetime r
hs_created_by_user_id number r
hs_date_entered_closedwon datetime calculation_equation c
hs_deal_stage_probability number calculation_equation c
hs_deal_stage_probability_shadow number r
hs_forecast_amount number calculation_equation c
hs_forecast_probability number
hs_is_closed bool calculation_equation c
hs_is_closed_won bool calculation_equation c
hs_is_closed_count number calculation_equation c
hs_lastmodifieddate datetime r
hs_manual_forecast_category enumeration OMIT|PIPELINE|BEST_CASE|COMMIT|CLOSED
hs_merged_object_ids enumeration checkbox r
hs_mrr number
hs_next_step string
hs_num_associated_deal_splits number c
hs_object_id number r
hs_object_source string r
hs_priority enumeration low|medium|high
hs_projected_amount number calculation_equation c
hs_read_only bool r
hs_tag_ids enumeration checkbox 101|102|103|104
hs_tcv number
hs_time_in_appointmentscheduled number c
hs_updated_by_user_id number r
hs_user_ids_of_all_owners enumeration checkbox r
hubspot_owner_assigneddate datetime r
hubspot_owner_id enumeration owner
hubspot_team_id enumeration
notes_last_contacted datetime r
notes_last_updated datetime r
notes_next_activity_date datetime r
num_associated_contacts number calculation_rollup c
num_contacted_notes number r
num_notes number r
pipeline enumeration
"""
CONTACTS = """
address string
annualrevenue string
city string
company string
country string
createdate datetime
date_of_birth string
email string
firstname string
hs_additional_emails string
hs_calculated_merged_vids enumeration checkbox r
hs_email_domain string c
hs_email_optout bool
hs_lead_status enumeration radio NEW|OPEN|IN_PROGRESS|CONNECTED
hs_merged_object_ids enumeration checkbox r
hs_object_id number r
hs_object_source string r
hs_persona enumeration persona_1|persona_2
hubspot_owner_id enumeration owner
jobtitle string
lastmodifieddate datetime r
lastname string
lifecyclestage enumeration radio subscriber|lead|opportunity|customer|evangelist
mobilephone phone_number
notes_last_contacted datetime r
num_associated_deals number c
phone phone_number
recent_deal_amount number c
state string
website string
zip string
"""
COMPANIES = """
about_us string textarea
address string
annualrevenue number
city string
country string
createdate datetime
description string textarea
domain string
founded_year string
hs_lastmodifieddate datetime r
hs_merged_object_ids enumeration checkbox r
hs_num_child_companies number c
hs_object_id number r
hs_object_source string r
hs_parent_company_id number c
hubspot_owner_id enumeration owner
industry enumeration ACCOUNTING|BANKING|COMPUTER_SOFTWARE|RETAIL|TELECOMMUNICATIONS
is_public bool
lifecyclestage enumeration radio lead|opportunity|customer
name string
num_associated_contacts number c
num_associated_deals number c
numberofemployees number
phone phone_number
state string
type enumeration PROSPECT|PARTNER|RESELLER|VENDOR
website string
zip string
"""
OTHERS = {
    "tickets": """
content string textarea
createdate datetime
hs_pipeline enumeration
hs_pipeline_stage enumeration
hs_ticket_category enumeration checkbox PRODUCT_ISSUE|BILLING_ISSUE|FEATURE_REQUEST
hs_ticket_priority enumeration LOW|MEDIUM|HIGH
subject string
""",
    "products": """
createdate datetime
description string textarea
hs_sku string
name string
price number
""",
    "line_items": """
amount number c
createdate datetime
hs_product_id number
hs_sku string
name string
price number
quantity number
""",
    "quotes": """
hs_expiration_date date
hs_quote_amount number
hs_status enumeration DRAFT|APPROVED|REJECTED
hs_title string
""",
    "communications": """
hs_communication_body string textarea
hs_communication_channel_type enumeration SMS|WHATS_APP|LINKEDIN_MESSAGE
hs_timestamp datetime
""",
    "feedback_submissions": """
hs_content string textarea
hs_response_group string
hs_submission_timestamp datetime
hs_survey_type enumeration CES|NPS|CSAT
hs_value number
""",
    "tasks": """
hs_task_body string html
hs_task_priority enumeration LOW|MEDIUM|HIGH
hs_task_status enumeration NOT_STARTED|IN_PROGRESS|COMPLETED
hs_task_subject string
hs_timestamp datetime
""",
    "notes": "hs_note_body string html\nhs_timestamp datetime",
    "meetings": """
hs_meeting_body string html
hs_meeting_end_time datetime
hs_meeting_outcome enumeration SCHEDULED|COMPLETED|NO_SHOW
hs_meeting_start_time datetime
hs_meeting_title string
hs_timestamp datetime
""",
    "calls": """
hs_call_body string html
hs_call_direction enumeration INBOUND|OUTBOUND
hs_call_duration number
hs_call_title string
hs_timestamp datetime
""",
    "emails": """
hs_email_direction enumeration EMAIL|INCOMING_EMAIL
hs_email_html string html
hs_email_subject string
hs_timestamp datetime
""",
    "leads": """
hs_lead_label enumeration HOT|WARM|COLD
hs_lead_name string
hs_lead_type enumeration NEW_BUSINESS|UPSELL
""",
    "appointments": """
hs_appointment_end datetime
hs_appointment_name string
hs_appointment_start datetime
hs_appointment_status enumeration SCHEDULED|COMPLETED
""",
}
COMMON = """
hs_createdate datetime r
hs_lastmodifieddate datetime r
hs_merged_object_ids enumeration checkbox r
hs_object_id number r
hs_object_source string r
hubspot_owner_id enumeration owner
"""
_FIELD_TYPES = {
    "textarea",
    "html",
    "checkbox",
    "radio",
    "calculation_equation",
    "calculation_rollup",
}


def _parse(line: str, group: str) -> PropertyDefinition:
    name, kind, *rest = line.split()
    field_type = next((word for word in rest if word in _FIELD_TYPES), "")
    flags = {word for word in rest if word in {"c", "r", "u", "owner"}}
    options = next((word for word in rest if "|" in word), "")
    return PropertyDefinition(
        name,
        kind,
        field_type,
        label=name.removeprefix("hs_").replace("_", " ").capitalize(),
        options=tuple(options.split("|")) if options else (),
        group=group,
        hubspot_defined=True,
        calculated="c" in flags,
        read_only="r" in flags,
        external_options="owner" in flags,
        referenced_object_type="OWNER" if "owner" in flags else None,
        has_unique_value="u" in flags,
    )


def standard_properties(object_type: ObjectType) -> list[PropertyDefinition]:
    table = {"deals": DEALS, "contacts": CONTACTS, "companies": COMPANIES}.get(object_type.name)
    text = table or OTHERS.get(object_type.name, "") + "\n" + COMMON
    group = f"{object_type.singular}information"
    definitions = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        definition = _parse(line, group)
        definitions[definition.name] = definition
    for name in object_type.always:
        definitions.setdefault(
            name, PropertyDefinition(name, "datetime", group=group, hubspot_defined=True)
        )
    return sorted(definitions.values(), key=lambda definition: definition.name)
