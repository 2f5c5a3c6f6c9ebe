"""The demo of campaigns: from no cell to a target or a stop, with LAMMPS, tblite and a person's approvals."""
