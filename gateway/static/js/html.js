// The one door to the page's view library: whatever draws imports from here, never from vendor.

export {
  Component,
  createContext,
  h,
  html,
  render,
  useCallback,
  useContext,
  useEffect,
  useErrorBoundary,
  useLayoutEffect,
  useMemo,
  useReducer,
  useRef,
  useState,
} from '../vendor/htm-3.1.1/htm-preact.js';
