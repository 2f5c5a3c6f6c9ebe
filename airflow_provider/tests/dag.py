"""The DAG of the test: explore a composition, wait, explore again as the policy proposes, wait, evaluate, wait."""

from __future__ import annotations

from airflow.sdk import DAG
from tailrace_airflow.operators import CampaignStageOperator
from tailrace_airflow.sensors import CampaignStageSensor

with DAG("tailrace_campaign", schedule=None, params={"campaign": "glasses", "composition": "Cu50Zr50"}) as dag:
    campaign = "{{ params.campaign }}"
    before = None
    stages = {
        "explore": {"stage": "explore", "composition": "{{ params.composition }}"},
        "exploit": {"stage": "round"},
        "evaluate": {"stage": "evaluate"},
    }
    for name, options in stages.items():
        start = CampaignStageOperator(task_id=name, campaign=campaign, **options)
        wait = CampaignStageSensor(
            task_id=f"{name}_ended", campaign=campaign, started=start.output, mode="poke", poke_interval=1, timeout=900
        )
        start >> wait
        if before is not None:
            before >> start
        before = wait
