// What every page runs.
import "./times.js";
import "./live.js";
